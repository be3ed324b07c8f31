//! A key that everybody wants expires.

use std::fs;
use std::time::{Duration, Instant};

use daybook_services::{Postgres, Redis};

use super::redis::tell;
use crate::check::Checks;
use crate::client::Client;
use crate::crowd::Crowd;
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "hot-key",
    title: "what 48 clients read on three instances expires: the database is read once",
    short: 20,
    full: 1_000,
    run,
};

const FILLED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is begun again where an instance was without its cache.
const ATTEMPTS: u32 = 3;
/// What an instance says that is.
const WITHOUT: &str = "the cache was out of reach";
/// How an account is read.
const READ: &str = "FROM \"accounts\" WHERE \"accounts\".\"id\" IN";

fn run(run: &Run) -> Outcome<Tally> {
    let servers = Servers {
        // It notes every statement.
        postgres: Postgres::start_with(&[("log_statement", "all")])?,
        redis: Redis::start()?,
        rabbitmq: None,
    };
    let mut tally = Tally::default();
    for attempt in 0..ATTEMPTS {
        let site = Site::on(&servers)?;
        let fetches = expire(run, attempt, &servers, &site, &mut tally)?;
        site.verify()?;
        match fetches {
            Some(fetches) => {
                let expiries = run.dose as usize;
                tally.add("expiries", expiries);
                tally.add("reads of the database", fetches);
                ensure(fetches == expiries, || {
                    format!("{expiries} expiries, and the database was read {fetches} times")
                })?;
                return Ok(tally);
            }
            None => tally.add("runs without a count: Redis did not answer in time", 1),
        }
    }
    Err(Failure::new(
        "the trial is void: Redis did not answer in time, on a machine that is too busy",
    ))
}

/// Lets the key expire as often as the dose says; answers how often the database was read. `None` where
/// an instance was without its cache for a while.
fn expire(
    run: &Run,
    attempt: u32,
    servers: &Servers,
    site: &Site,
    tally: &mut Tally,
) -> Outcome<Option<usize>> {
    let addresses = [free_address()?, free_address()?, free_address()?];
    let instances =
        addresses.iter().map(|address| site.serve(*address)).collect::<Outcome<Vec<_>>>()?;
    let mut client = Client::register(&addresses, "ada@example.com")?;
    let holder = client.id()?;
    let seed = run.seed.wrapping_add(attempt.into());
    let crowd = Crowd { clients: 48, accounts: 1, reads: 100, abandoned: 0, readers: 0, seed };
    let mut looking = client.clone();
    let mut fetches = 0;
    let deeds = crowd.run(&client, || {
        std::thread::sleep(Duration::from_millis(300));
        let accounts = looking.pages("/accounts")?;
        let account = accounts.first().and_then(|account| account.get("id")?.as_str());
        let account = account.ok_or_else(|| Failure::new("no account"))?;
        let key = format!("account:{account}:user:{holder}");
        let before = reads(servers)?;
        run.rounds(run.dose, |round| {
            let answer = tell(&servers.redis, &format!("PEXPIRE {key} 0"))?;
            ensure(answer == ":1", || format!("nothing to expire: {answer}"))?;
            let began = Instant::now();
            while tell(&servers.redis, &format!("EXISTS {key}"))? != ":1" {
                ensure(began.elapsed() < FILLED_WITHIN, || "it is not filled again".to_owned())?;
                std::thread::sleep(Duration::from_millis(2));
            }
            tally.time("filled again", began.elapsed());
            round.wait(5, 40);
            Ok(())
        })?;
        fetches = reads(servers)? - before;
        Ok(())
    })?;
    Checks::default().round(&deeds, &client, tally)?;
    ensure(deeds.interruptions == 0, || format!("not answered: {:?}", deeds.interruption))?;
    tally.add("reads", deeds.all.len());
    let was_without =
        |one: &Process| one.stdout().contains(WITHOUT) || one.stderr().contains(WITHOUT);
    Ok(if instances.iter().any(was_without) { None } else { Some(fetches) })
}

/// How often the database has been asked for accounts.
fn reads(servers: &Servers) -> Outcome<usize> {
    let log = fs::read_to_string(servers.postgres.folder().join("server.log"))?;
    Ok(log.lines().filter(|line| line.contains(READ)).count())
}
