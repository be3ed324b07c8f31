//! Trials of the trials: a fault is planted, and the checker of histories has to find it.

use super::{readers, redis, relay, service_killed};
use crate::check::UNEXPLAINED;
use crate::error::{Failure, Outcome, ensure};
use crate::planted::{Plant, leave_out_the_lock};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, PLANT, Servers, Site};
use indicatif::ProgressBar;

pub(super) const TRIALS: [Trial; 4] = [
    trial("planted-cache", "a cache that ignores versions is found", |run| {
        planted(run, Plant::VersionsIgnored)
    }),
    trial("planted-relay", "a relay that reads by time is found", |run| {
        planted(run, Plant::ReadByTime)
    }),
    trial("planted-ack", "an acknowledgement before the commit is found", |run| {
        planted(run, Plant::AcknowledgedEarly)
    }),
    trial("planted-append", "an append without the lock is found", |run| {
        planted(run, Plant::LockLeftOut)
    }),
];

const fn trial(name: &'static str, title: &'static str, run: fn(&Run) -> Outcome<Tally>) -> Trial {
    Trial { name, title, short: 1, full: 10, run }
}

/// How often a fault may be overlooked before it counts as not found.
const ATTEMPTS: u32 = 5;

fn planted(run: &Run, plant: Plant) -> Outcome<Tally> {
    let mut tally = Tally::default();
    run.rounds(run.dose, |round| {
        let found = (0..ATTEMPTS).find_map(|attempt| {
            let seed = round.seed.wrapping_add(u64::from(attempt));
            tally.add("runs with the fault", 1);
            find(plant, seed).err().filter(|failure| failure.to_string().contains(UNEXPLAINED))
        });
        let found = found.ok_or_else(|| Failure::new(format!("{} was not found", plant.name())))?;
        tally.add("times found", 1);
        tally.remark(first_line(&found));
        Ok(())
    })?;
    Ok(tally)
}

fn first_line(failure: &Failure) -> String {
    let text = failure.to_string();
    let found = text.split_once(UNEXPLAINED).map_or(text.as_str(), |(_, found)| found);
    let found = found.trim_start_matches([':', ' ']);
    found.lines().next().unwrap_or_default().chars().take(200).collect()
}

/// A short run of the trial that is to fail.
fn find(plant: Plant, seed: u64) -> Outcome {
    let short = |dose| Run { dose, seed, full: false, progress: ProgressBar::hidden() };
    let mut tally = Tally::default();
    if plant == Plant::AcknowledgedEarly {
        let mut site = Site::embedded()?;
        site.set(PLANT, plant.name());
        return service_killed::killed(&short(3), 3, &site, &mut tally);
    }
    let servers = Servers::start(Engines::Postgres)?;
    let mut site = Site::on(&servers)?;
    site.set(PLANT, plant.name());
    match plant {
        Plant::VersionsIgnored => {
            redis::stale_reads(&short(4), &servers, &site, |_| Ok(())).map(drop)
        }
        Plant::ReadByTime => relay::all_heard(&short(1), &servers, &site, |_, _| Ok(())).map(drop),
        Plant::LockLeftOut => {
            let migrated = site.begin(&["migrate"])?.ended()?;
            ensure(migrated.status.success(), || migrated.stderr)?;
            leave_out_the_lock(site.database())?;
            readers::follow(&short(4_000), &site).map(drop)
        }
        Plant::AcknowledgedEarly => Ok(()),
    }
}
