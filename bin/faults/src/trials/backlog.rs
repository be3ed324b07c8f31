//! A long log that was never handed on.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::listener::Listener;
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "backlog",
    title: "a relay that is far behind catches up, and commands don't starve",
    short: 3_000,
    full: 100_000,
    run,
};

const DRAINED_WITHIN: Duration = Duration::from_mins(5);
/// A command takes no longer than this while the relay catches up.
const BOUND: Duration = Duration::from_millis(500);
const WRITERS: usize = 32;

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    let address = free_address()?;
    // Without Redis nothing can be handed on, and commands go on.
    let instance = site.serve(address)?;
    let client = Client::register(&[address], "ada@example.com")?;
    servers.redis.kill()?;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let mut client = client.clone();
                let count = run.dose as usize / WRITERS + 1;
                scope.spawn(move || {
                    (0..count).try_for_each(|number| {
                        let key = format!("{writer}-{number}");
                        insist(&mut client, "/orders", &key, None)?.expect(201).map(drop)
                    })
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().map_err(|_| Failure::new("a writer panicked"))?)
    })?;
    run.progress.set_position(u64::from(run.dose));
    let body = json!({ "message": "the end of the backlog" });
    let mut client = client;
    insist(&mut client, "/notifications", "end", Some(&body))?.expect(202)?;
    servers.redis.restart()?;
    let listening = Listener::new(&servers.redis)?;
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    let mut commands = 0;
    while !listening.heard().iter().any(|text| text == "the end of the backlog") {
        ensure(began.elapsed() < DRAINED_WITHIN, || "the backlog was not drained".to_owned())?;
        let sent = Instant::now();
        let key = format!("beside-{commands}");
        client
            .ask("POST", "/orders", Some(&key), None)
            .map_err(crate::client::lost)?
            .expect(201)?;
        longest = longest.max(sent.elapsed());
        commands += 1;
    }
    tally.add("events drained", run.dose as usize);
    tally.time("drained in", began.elapsed());
    tally.add("commands beside it", commands);
    tally.time("commands", longest);
    ensure(longest < BOUND, || format!("a command took {longest:?} beside the relay"))?;
    drop(instance);
    site.verify()?;
    Ok(tally)
}
