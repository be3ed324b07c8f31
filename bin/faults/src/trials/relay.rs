//! The instance whose relay leads dies; another takes over.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::{Act, Answer, Deed, Deeds, insist};
use crate::error::{Failure, Outcome};
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
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let began = Instant::now();
        let mut deeds = thread::scope(|scope| {
            let publishing: Vec<_> = (0..PUBLISHERS)
                .map(|number| {
                    let client = client.starting_at(number);
                    // Topics are streams: on one, instances would wait for each other.
                    let topic = format!("{:x}-{number}", round.seed);
                    scope.spawn(move || publish(client, number, &topic, each, began))
                })
                .collect();
            let hurt = hurt(round, &mut instances);
            let mut deeds = Deeds::default();
            for client in publishing {
                let published = client.join().map_err(|_| Failure::new("a client panicked"))??;
                deeds.all.extend(published);
            }
            hurt.map(|()| deeds)
        })?;
        let published = Instant::now();
        let mut missing: HashSet<&str> = deeds.all.iter().filter_map(text).collect();
        let mut heard = Vec::new();
        while !missing.is_empty() && published.elapsed() < HEARD_WITHIN {
            thread::sleep(Duration::from_millis(10));
            let new = listener.heard();
            for text in &new {
                missing.remove(text.as_str());
            }
            heard.extend(new);
        }
        tally.time("the last was heard after", published.elapsed());
        tally.add("notifications acknowledged", deeds.all.len());
        deeds.heard = Some(heard);
        checks.round(&deeds, &client, &mut tally)?;
        tally.add("rounds", 1);
        Ok(())
    })?;
    drop(instances);
    site.verify()?;
    Ok(tally)
}

fn text(deed: &Deed) -> Option<&str> {
    if let Act::Publish { text, .. } = &deed.act { Some(text) } else { None }
}

/// Says so many things on a topic, one after the other.
pub(super) fn publish(
    mut client: Client,
    number: usize,
    topic: &str,
    each: usize,
    began: Instant,
) -> Outcome<Vec<Deed>> {
    let say = |said: usize| {
        let (topic, text) = (topic.to_owned(), format!("{topic}-{said}"));
        let body = json!({ "message": text, "topic": topic });
        let asked = began.elapsed();
        let reply = insist(&mut client, "/notifications", &text, Some(&body))?.expect(202)?;
        let position = reply.position.ok_or_else(|| Failure::new("said without a position"))?;
        let answer = Answer::Done { position, id: None };
        let act = Act::Publish { topic, text };
        Ok(Deed { client: number, act, asked, answered: began.elapsed(), answer })
    };
    (0..each).map(say).collect()
}
