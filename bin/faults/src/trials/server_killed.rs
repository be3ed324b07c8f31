//! A server that Daybook needs is killed under load.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::{Crowd, insist};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const POSTGRES: Trial = Trial {
    name: "r2-postgres",
    title: "Postgres is killed under load",
    short: 5,
    full: 100,
    run: postgres,
};

pub(super) const REDIS: Trial = Trial {
    name: "r2-redis",
    title: "Redis is killed under load; commands and reads go on",
    short: 6,
    full: 100,
    run: redis,
};

pub(super) const RABBITMQ: Trial = Trial {
    name: "r2-rabbitmq",
    title: "RabbitMQ is killed under load; commands go on and every task is done",
    short: 2,
    full: 100,
    run: rabbitmq,
};

/// Nobody waits longer than this for an answer where Redis or `RabbitMQ` is gone.
const BOUND: Duration = Duration::from_millis(1_500);
const TASKS_DONE_WITHIN: Duration = Duration::from_mins(5);
const TASKS_EACH: usize = 20;

fn postgres(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    under_load(run, &servers, false, |servers, round| {
        servers.postgres.kill()?;
        round.wait(0, 300);
        Ok(servers.postgres.restart()?)
    })
    .and_then(|tally| tally.must_have("answers lost or not given").map(|()| tally))
}

fn redis(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::Postgres)?;
    under_load(run, &servers, true, |servers, round| {
        servers.redis.kill()?;
        round.wait(100, 500);
        Ok(servers.redis.restart()?)
    })
}

fn rabbitmq(run: &Run) -> Outcome<Tally> {
    let servers = Servers::start(Engines::All)?;
    under_load(run, &servers, true, |servers, round| {
        let rabbitmq = servers.rabbitmq.as_ref().ok_or_else(|| Failure::new("no RabbitMQ"))?;
        rabbitmq.kill()?;
        round.wait(100, 500);
        Ok(rabbitmq.restart()?)
    })
}

/// `unnoticed` says that no command and no read may fail or wait.
fn under_load(
    run: &Run,
    servers: &Servers,
    unnoticed: bool,
    hurt: impl Fn(&Servers, &mut crate::run::Round) -> Outcome,
) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let mut site = Site::on(servers)?;
    site.set("DAYBOOK_TEXT_TASK_DURATION", "0s");
    let addresses = [free_address()?, free_address()?];
    let _instances = [site.serve(addresses[0])?, site.serve(addresses[1])?];
    let client = Client::register(&addresses, "ada@example.com")?;
    let mut checks = Checks::default();
    let mut tasks = 0;
    run.rounds(run.dose, |round| {
        let crowd = Crowd {
            clients: 32,
            accounts: 4,
            reads: 40,
            abandoned: 5,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            round.wait(50, 200);
            let before = request_tasks(&client, round.seed, "before")?;
            hurt(servers, round)?;
            tasks += before + request_tasks(&client, round.seed, "after")?;
            round.wait(200, 400);
            Ok(())
        })?;
        tally.add("kills", 1);
        checks.round(&deeds, &client, &mut tally)?;
        if unnoticed {
            ensure(deeds.interruptions == 0, || {
                format!(
                    "{} requests were not answered: {:?}",
                    deeds.interruptions, deeds.interruption
                )
            })?;
            ensure(deeds.longest < BOUND, || {
                let slowest =
                    deeds.all.iter().max_by_key(|deed| deed.answered.saturating_sub(deed.asked));
                format!("an answer took {:?}: {slowest:?}", deeds.longest)
            })?;
        }
        Ok(())
    })?;
    all_done(&client, tasks)?;
    tally.add("tasks done once", tasks);
    site.verify()?;
    Ok(tally)
}

fn request_tasks(client: &Client, seed: u64, name: &str) -> Outcome<usize> {
    let mut client = client.clone();
    for number in 0..TASKS_EACH {
        let body = json!({ "kind": "text", "payload": format!("{name} {number}") });
        insist(&mut client, "/tasks", &format!("{seed:x}-{name}-{number}"), Some(&body))?
            .expect(202)?;
    }
    Ok(TASKS_EACH)
}

/// Waits until all tasks are done, and none is missing.
fn all_done(client: &Client, count: usize) -> Outcome {
    let deadline = Instant::now() + TASKS_DONE_WITHIN;
    let mut client = client.clone();
    loop {
        let done = client.pages("/tasks?state=done&limit=1000")?.len();
        if done == count {
            return Ok(());
        }
        ensure(Instant::now() < deadline && done < count, || {
            format!("{done} of {count} tasks are done")
        })?;
        std::thread::sleep(Duration::from_millis(200));
    }
}
