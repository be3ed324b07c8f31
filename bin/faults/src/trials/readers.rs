//! Readers by position, while many write and commits are slow.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::Outcome;
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r10",
    title: "readers by position beside 64 writers on three instances: no event is missed",
    short: 4_000,
    full: 1_000_000,
    run,
};

/// How many events a round is waited for; rounds keep the histories short.
const ROUND: u64 = 5_000;
const READERS: usize = 4;

fn run(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    follow(run, &Site::on(&servers)?)
}

/// Writes so many events as the dose says, and reads them at the same time.
pub(crate) fn follow(run: &Run, site: &Site) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let addresses = [free_address()?, free_address()?, free_address()?];
    let instances =
        addresses.iter().map(|address| site.serve(*address)).collect::<Outcome<Vec<_>>>()?;
    let client = Client::register(&addresses, "ada@example.com")?;
    let mut checks = Checks::default();
    let mut round = 0;
    while checks.position() < u64::from(run.dose) {
        round += 1;
        let until = u64::from(run.dose).min(checks.position() + ROUND);
        let deeds = write(run.seed.wrapping_add(round), &client, until)?;
        checks.round(&deeds, &client, &mut tally)?;
        run.progress.set_position(checks.position().min(u64::from(run.dose)));
    }
    tally.add("events in the log", usize::try_from(checks.position())?);
    tally.must_have("events seen by readers")?;
    drop(instances);
    site.verify()?;
    Ok(tally)
}

fn write(seed: u64, client: &Client, until: u64) -> Outcome<crate::crowd::Deeds> {
    let crowd = Crowd { clients: 64, accounts: 8, reads: 5, abandoned: 0, readers: READERS, seed };
    let mut looking = client.clone();
    crowd.run(client, || {
        loop {
            let path = format!("/events?limit=1&after={}", until.saturating_sub(1));
            if !matches!(&looking.get(&path)?.body, Value::Array(events) if events.is_empty()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
    })
}
