//! Redis forgets, restarts and stands still, under readers that must never see something old.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use daybook_services::Redis;
use rand::Rng;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};
use crate::subscriber::Subscriber;

pub(super) const TRIAL: Trial = Trial {
    name: "r3",
    title: "Redis is flushed, restarted, paused; no stale read, no gap in a stream",
    short: 9,
    full: 100,
    run,
};

fn run(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    let pause = Duration::from_secs(run.size(30, 3));
    stale_reads(run, &servers, &Site::on(&servers)?, |round| match round.number % 3 {
        0 => flush(&servers, round),
        1 => Ok(servers.redis.restart()?),
        _ => {
            servers.redis.pause()?;
            std::thread::sleep(pause);
            Ok(servers.redis.resume()?)
        }
    })
}

/// Reads on two instances while `hurt` is done to their Redis.
pub(crate) fn stale_reads(
    run: &Run,
    servers: &Servers,
    site: &Site,
    mut hurt: impl FnMut(&mut Round) -> Outcome,
) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let addresses = [free_address()?, free_address()?];
    let instances = [site.serve(addresses[0])?, site.serve(addresses[1])?];
    let client = Client::register(&addresses, "ada@example.com")?;
    let streams: Vec<_> =
        (0..4).map(|number| Subscriber::start(&client.starting_at(number))).collect();
    let mut checks = Checks::default();
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 24,
            accounts: 2,
            reads: 75,
            abandoned: 0,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(100, 200);
            hurt(round)?;
            round.wait(200, 300);
            Ok(())
        })?;
        tally.add("faults", 1);
        let reads = deeds.all.len() - deeds.acknowledged();
        tally.add("reads", reads);
        ensure(deeds.interruptions == 0, || {
            format!("{} requests were not answered: {:?}", deeds.interruptions, deeds.interruption)
        })?;
        checks.round(&deeds, &client, &mut tally)
    })?;
    let head = checks.position();
    for stream in streams {
        stream.until(head)?;
        tally.add("streams without a gap", 1);
    }
    drop(instances);
    site.verify()?;
    let _ = servers;
    Ok(tally)
}

fn flush(servers: &Servers, round: &mut Round) -> Outcome {
    for _ in 0..round.random.random_range(1..20) {
        let answer = tell(&servers.redis, "FLUSHALL")?;
        ensure(answer == "+OK", || format!("FLUSHALL was refused: {answer}"))?;
        round.wait(1, 20);
    }
    Ok(())
}

/// Gives Redis a command, as a line of text; the first line of its answer.
pub(super) fn tell(redis: &Redis, command: &str) -> Outcome<String> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, redis.port()))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    connection.write_all(format!("{command}\r\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer)?;
    Ok(answer.trim_end().to_owned())
}
