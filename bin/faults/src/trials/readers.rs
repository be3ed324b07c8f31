//! Readers by position, while many write and commits are slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome, ensure};
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
    let stop = AtomicBool::new(false);
    let mut checks = Checks::default();
    thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|number| {
                let (client, stop) = (client.starting_at(number), &stop);
                scope.spawn(move || read_on(client, stop))
            })
            .collect();
        let mut round = 0;
        let written = loop {
            let before = checks.position();
            if before >= u64::from(run.dose) {
                break Ok(());
            }
            round += 1;
            let until = u64::from(run.dose).min(before + ROUND);
            let wrote = write(run.seed.wrapping_add(round), &client, until)
                .and_then(|deeds| checks.round(&deeds, &client, &mut tally));
            run.progress.set_position(checks.position().min(u64::from(run.dose)));
            if wrote.is_err() {
                break wrote;
            }
        };
        stop.store(true, Ordering::SeqCst);
        for reader in readers {
            let seen = reader.join().map_err(|_| Failure::new("a reader panicked"))??;
            let head = checks.position();
            ensure(seen >= head, || format!("a reader saw {seen} of {head} events"))?;
        }
        written
    })?;
    tally.add("events read by each of 4 readers", usize::try_from(checks.position())?);
    drop(instances);
    site.verify()?;
    Ok(tally)
}

fn write(seed: u64, client: &Client, until: u64) -> Outcome<crate::crowd::Deeds> {
    let crowd = Crowd { clients: 64, accounts: 8, reads: 5, abandoned: 0, seed };
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

/// Reads to the end, again and again, each time from where it was; answers how far it came.
fn read_on(mut client: Client, stop: &AtomicBool) -> Outcome<u64> {
    let mut last = 0;
    loop {
        // The last look begins after the last write.
        let is_last = stop.load(Ordering::SeqCst);
        let reply = client.get(&format!("/events?limit=1000&after={last}"))?.expect(200)?;
        let Value::Array(events) = &reply.body else {
            return Err(Failure::new("the log is not a list"));
        };
        for event in events {
            let position = event.get("position").and_then(Value::as_u64).unwrap_or(0);
            ensure(position == last + 1, || format!("a reader saw {position} after {last}"))?;
            last = position;
        }
        if events.is_empty() {
            if is_last {
                return Ok(last);
            }
            client.turn();
            thread::sleep(Duration::from_millis(2));
        }
    }
}
