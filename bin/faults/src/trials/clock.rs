//! The clocks of two instances jump by up to an hour, each by itself.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::{Crowd, insist};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{CLOCK, Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "clock",
    title: "the clocks of two instances jump by an hour either way: nothing moves but what expires",
    short: 4,
    full: 100,
    run,
};

const HOUR: i64 = 3_600;
/// A task is done in this time, whatever the clock does.
const DONE_WITHIN: Duration = Duration::from_secs(10);

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::All)?;
    let mut site = Site::on(&servers)?;
    site.set("DAYBOOK_TEXT_TASK_DURATION", "1ms");
    let half = run.dose.div_ceil(2);
    jumped(run, half, &mut site, &mut tally).map_err(|it| it.at("with RabbitMQ"))?;
    let servers = Servers::start(Engines::Postgres)?;
    let mut site = Site::on(&servers)?;
    site.set("DAYBOOK_TEXT_TASK_DURATION", "1ms");
    jumped(run, run.dose - half, &mut site, &mut tally).map_err(|it| it.at("on Postgres"))?;
    Ok(tally)
}

fn jumped(run: &Run, rounds: u32, site: &mut Site, tally: &mut Tally) -> Outcome {
    let addresses = [free_address()?, free_address()?];
    let clocks: Vec<PathBuf> =
        ["one", "two"].map(|name| site.folder().join(format!("clock-{name}"))).into();
    let mut instances = Vec::new();
    for (address, clock) in addresses.iter().zip(&clocks) {
        fs::write(clock, "0")?;
        site.set(CLOCK, &clock.display().to_string());
        instances.push(site.serve(*address)?);
    }
    let client = Client::register(&addresses, "ada@example.com")?;
    let mut checks = Checks::default();
    run.rounds(rounds, |round| {
        let crowd = Crowd {
            clients: 24,
            accounts: 4,
            reads: 40,
            abandoned: 0,
            readers: 1,
            seed: round.seed,
        };
        let deeds = crowd.run(&client, || {
            for _ in 0..6 {
                jump(&clocks, round, tally)?;
                do_tasks(&client, round, tally)?;
                round.wait(20, 150);
            }
            Ok(())
        })?;
        ensure(deeds.interruptions == 0, || format!("interrupted: {:?}", deeds.interruption))?;
        checks.round(&deeds, &client, tally)
    })?;
    drop(instances);
    site.verify()
}

/// One clock, or both, is set: by an hour forward, by an hour back, or right.
fn jump(clocks: &[PathBuf], round: &mut Round, tally: &mut Tally) -> Outcome {
    let both = round.random.random_bool(0.5);
    let at = round.random.random_range(0..clocks.len());
    let off = [-HOUR, 0, HOUR].get(round.random.random_range(0..3)).copied().unwrap_or(0);
    for (number, clock) in clocks.iter().enumerate() {
        if both || number == at {
            fs::write(clock, off.to_string())?;
            tally.add("jumps", 1);
        }
    }
    Ok(())
}

/// Tasks that are asked for now are done now: on an instance whose clock is behind as well.
fn do_tasks(client: &Client, round: &mut Round, tally: &mut Tally) -> Outcome {
    let mut client = client.clone();
    let mut tasks = Vec::new();
    for number in 0..4 {
        let key = format!("task-{}-{number}-{}", round.seed, round.random.random::<u32>());
        let body = json!({ "kind": "text", "payload": "Good morning" });
        client.turn();
        let reply = insist(&mut client, "/tasks", &key, Some(&body))?.expect(202)?;
        tasks.push(reply.text("task_id")?);
    }
    let began = Instant::now();
    for task in tasks {
        loop {
            let reply = client.get(&format!("/tasks/{task}"))?.expect(200)?;
            if reply.text("state")? == "done" {
                break;
            }
            if began.elapsed() > DONE_WITHIN {
                return Err(Failure::new(format!("not done: {}", reply.body)));
            }
            thread::sleep(Duration::from_millis(20));
        }
        tally.add("tasks done", 1);
        tally.time("tasks", began.elapsed());
    }
    Ok(())
}
