//! Installations on one Redis: one, a copy of it with the same accounts, and a stranger.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use daybook_services::Redis;
use serde_json::Value;

use super::relay::publish;
use crate::check::Checks;
use crate::client::Client;
use crate::crowd::{Crowd, Opened};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};
use crate::subscriber::{Manner, Subscriber};

pub(super) const TRIAL: Trial = Trial {
    name: "neighbours",
    title: "beside a copy of it and a stranger on one Redis everyone reads the own balances and events",
    short: 2,
    full: 40,
    run,
};

/// How many notifications each publishes beside its crowd.
const PUBLISHED: usize = 20;
const SUBSCRIBERS: usize = 4;

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let time = Duration::from_millis(run.size(4_000, 1_500));
    run.rounds(run.dose, |round| {
        // A file has one server.
        let (sites, instances) = if round.number % 2 == 0 {
            ([Site::on(&servers)?, Site::on(&servers)?], 2)
        } else {
            ([Site::embedded()?, Site::embedded()?], 1)
        };
        side_by_side(round, sites, instances, &servers.redis, time, &mut tally)
    })?;
    tally.must_have("reads")?;
    Ok(tally)
}

fn side_by_side(
    round: &Round,
    [mut site, mut stranger]: [Site; 2],
    instances: usize,
    redis: &Redis,
    time: Duration,
    tally: &mut Tally,
) -> Outcome {
    for site in [&mut site, &mut stranger] {
        site.set("DAYBOOK_SHUTDOWN_DELAY", "0s");
    }
    site.set("REDIS_URL", &redis.url());
    // What is published there is heard whatever the number of the database is.
    stranger.set("REDIS_URL", &format!("{}1", redis.url()));
    let crowd = |number| crowd(round.seed.wrapping_add(number));
    let first = Installation::start(site, 1)?;
    let client = Client::register(&first.addresses, "ada@example.com")?;
    let opened = crowd(0).open(&client)?;
    let site = first.end()?;
    let copy = site.copy()?;
    let [site, copy] =
        [Installation::start(site, instances)?, Installation::start(copy, instances)?];
    let stranger = Installation::start(stranger, 1)?;
    let strange = Client::register(&stranger.addresses, "eve@example.com")?;
    let theirs = crowd(2).open(&strange)?;
    let lives = [
        (client.of(&site.addresses), crowd(0), opened.clone()),
        // Under the same token: its key, holders and accounts are the same.
        (client.of(&copy.addresses), crowd(1), opened),
        (strange, crowd(2), theirs),
    ];
    thread::scope(|scope| {
        let lives = lives.map(|(client, crowd, opened)| {
            scope.spawn(move || live(&client, &crowd, opened, time))
        });
        for (name, life) in ["the one", "its copy", "the stranger"].into_iter().zip(lives) {
            let seen = life.join().map_err(|_| Failure::new("an installation's crowd panicked"))?;
            tally.join(seen.map_err(|failure| failure.at(name))?);
        }
        Ok::<_, Failure>(())
    })?;
    for installation in [site, copy, stranger] {
        installation.end()?.verify()?;
    }
    Ok(())
}

/// An installation that runs.
struct Installation {
    site: Site,
    addresses: Vec<SocketAddr>,
    processes: Vec<Process>,
}

impl Installation {
    fn start(site: Site, instances: usize) -> Outcome<Self> {
        let addresses = (0..instances).map(|_| free_address()).collect::<Outcome<Vec<_>>>()?;
        let processes =
            addresses.iter().map(|address| site.serve(*address)).collect::<Outcome<Vec<_>>>()?;
        Ok(Self { site, addresses, processes })
    }

    fn end(self) -> Outcome<Site> {
        for process in self.processes {
            process.ask_to_end()?;
            process.ended()?;
        }
        Ok(self.site)
    }
}

const fn crowd(seed: u64) -> Crowd {
    Crowd { clients: 8, accounts: 3, reads: 70, abandoned: 0, readers: 1, seed }
}

/// What one of the neighbours lives through: its commands, and its reads and streams meanwhile; all of it
/// has to be what its own log says.
fn live(client: &Client, crowd: &Crowd, opened: Opened, time: Duration) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let subscribers: Vec<_> = (0..SUBSCRIBERS)
        .map(|number| {
            let manner = Manner { keeps: true, ..Manner::default() };
            Subscriber::with(&client.starting_at(number), manner)
        })
        .collect();
    let mut published = Vec::new();
    // Before the crowd's time begins: nothing is taken for acknowledged before it was.
    let began = Instant::now();
    let mut deeds = crowd.run_on(client, opened, || {
        let topic = format!("{:x}", crowd.seed);
        published = publish(client.clone(), crowd.clients, &topic, PUBLISHED, began)?;
        thread::sleep(time.saturating_sub(began.elapsed()));
        Ok(())
    })?;
    ensure(deeds.interruptions == 0, || format!("not answered: {:?}", deeds.interruption))?;
    tally.add("reads", deeds.all.len() - deeds.acknowledged());
    deeds.all.extend(published);
    let mut checks = Checks::default();
    checks.round(&deeds, client, &mut tally)?;
    let log = client.clone().pages("/events?limit=1000")?;
    for subscriber in subscribers {
        let told = subscriber.until(checks.position())?;
        ensure(told.resets == 0, || "a reset, though the log has everything".to_owned())?;
        are_in(&log, &told.events)?;
        tally.add("events shown", told.events.len());
    }
    Ok(tally)
}

/// Whoever was shown something was shown what the own log has there.
fn are_in(log: &[Value], events: &[(u64, String)]) -> Outcome {
    let position = |event: &Value| event.get("position").and_then(Value::as_u64);
    let log: BTreeMap<_, _> = log.iter().map(|event| (position(event), event)).collect();
    events.iter().try_for_each(|(position, shown)| {
        let own = log.get(&Some(*position)).copied();
        ensure(own == serde_json::from_str(shown).ok().as_ref(), || {
            format!("shown {shown} at position {position}, where the log has {own:?}")
        })
    })
}
