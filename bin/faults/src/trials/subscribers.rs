//! Subscribers of the stream of events, through restarts, and slow ones among them.

use std::time::Duration;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};
use crate::subscriber::{Manner, Subscriber};

pub(super) const TRIAL: Trial = Trial {
    name: "sse",
    title: "subscribers through restarts of Redis and the service, slow ones among them",
    short: 4,
    full: 40,
    run,
};

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let site = Site::on(&servers)?;
    let addresses = [free_address()?, free_address()?];
    let mut instances = addresses
        .iter()
        .map(|address| site.serve(*address).map(Some))
        .collect::<Outcome<Vec<Option<Process>>>>()?;
    let client = Client::register(&addresses, "ada@example.com")?;
    let subscribers: Vec<_> = (0..run.size(1_000, 100))
        .map(|number| {
            // One in ten is slow.
            let pause = Duration::from_millis(if number % 10 == 0 { 2 } else { 0 });
            Subscriber::with(&client.starting_at(number), Manner { pause, ..Manner::default() })
        })
        .collect();
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 4,
            accounts: 2,
            reads: 30,
            abandoned: 0,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(50, 150);
            match round.number as usize % 4 {
                0 => servers.redis.restart()?,
                2 => {
                    servers.redis.kill()?;
                    round.wait(100, 300);
                    servers.redis.restart()?;
                }
                number => {
                    let at = number / 2;
                    let (Some(instance), Some(address)) =
                        (instances.get_mut(at), addresses.get(at))
                    else {
                        return Err(Failure::new("no instance"));
                    };
                    if let Some(process) = instance.take() {
                        process.ask_to_end()?;
                        process.ended()?;
                    }
                    *instance = Some(site.serve(*address)?);
                }
            }
            round.wait(50, 150);
            Ok(())
        })?;
        tally.add("restarts", 1);
        checks.round(&deeds, &client, &mut tally)
    })?;
    let head = checks.position();
    tally.add("events", usize::try_from(head).unwrap_or(usize::MAX));
    for subscriber in subscribers {
        let told = subscriber.until(head)?;
        tally.add("subscribers without a gap", 1);
        ensure(told.resets == 0, || "a reset, though the log has everything".to_owned())?;
    }
    drop(instances);
    site.verify()?;
    Ok(tally)
}
