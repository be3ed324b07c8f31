//! The instance whose relay leads dies; another takes over.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::Client;
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::listener::Listener;
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "relay",
    title: "instances are killed in turn while they publish: Redis hears every notification",
    short: 4,
    full: 100,
    run,
};

const PUBLISHERS: usize = 16;
const HEARD_WITHIN: Duration = Duration::from_secs(20);

fn run(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    all_heard(run, &servers, &site, |round, instances| {
        round.wait(20, 150);
        let at = round.number as usize % instances.len();
        let place = instances.get_mut(at).ok_or_else(|| Failure::new("no instance"))?;
        if let Some(process) = place.process.take() {
            process.kill()?;
        }
        round.wait(0, 100);
        place.process = Some(site.serve(place.address)?);
        Ok(())
    })
}

/// An instance and where it listens.
pub(crate) struct Instance {
    address: SocketAddr,
    process: Option<Process>,
}

/// Publishes on three instances at once while `hurt` is done to them. A plain client of Redis hears all.
pub(crate) fn all_heard(
    run: &Run,
    servers: &Servers,
    site: &Site,
    mut hurt: impl FnMut(&mut Round, &mut [Instance]) -> Outcome,
) -> Outcome<Tally> {
    let mut tally = Tally::default();
    // What the leading one commits itself it does not read back: two others are read.
    let mut instances = (0..3)
        .map(|_| {
            let address = free_address()?;
            Ok(Instance { address, process: Some(site.serve(address)?) })
        })
        .collect::<Outcome<Vec<_>>>()?;
    let addresses: Vec<_> = instances.iter().map(|one| one.address).collect();
    let client = Client::register(&addresses, "ada@example.com")?;
    let listener = Listener::new(&servers.redis)?;
    let each = run.size(200, 60);
    run.rounds(run.dose, |round| {
        let said: Vec<String> =
            (0..PUBLISHERS * each).map(|number| format!("{:x}-{number}", round.seed)).collect();
        thread::scope(|scope| {
            let publishing: Vec<_> = said
                .chunks(each)
                .enumerate()
                .map(|(number, texts)| {
                    let client = client.starting_at(number);
                    // Topics are streams: on one, instances would wait for each other.
                    scope.spawn(move || publish(client, &format!("topic-{number}"), texts))
                })
                .collect();
            let hurt = hurt(round, &mut instances);
            for client in publishing {
                client.join().map_err(|_| Failure::new("a client panicked"))??;
            }
            hurt
        })?;
        let published = Instant::now();
        while let Some(missing) = said.iter().find(|text| !listener.has_heard(text)) {
            ensure(published.elapsed() < HEARD_WITHIN, || {
                let count = said.iter().filter(|text| !listener.has_heard(text)).count();
                format!("{count} of {} notifications were not heard, {missing} first", said.len())
            })?;
            thread::sleep(Duration::from_millis(10));
        }
        tally.time("the last was heard after", published.elapsed());
        tally.add("notifications heard", said.len());
        tally.add("rounds", 1);
        Ok(())
    })?;
    drop(instances);
    site.verify()?;
    Ok(tally)
}

fn publish(mut client: Client, topic: &str, texts: &[String]) -> Outcome {
    for text in texts {
        let body = json!({ "message": text, "topic": topic });
        insist(&mut client, "/notifications", text, Some(&body))?.expect(202)?;
    }
    Ok(())
}
