//! Workers are killed while they work, on each of the three queues.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::client::Client;
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r6",
    title: "workers are killed at any step, on SQLite, Postgres and RabbitMQ: each task is done once",
    short: 1_500,
    full: 1_000_000,
    run,
};

const CLIENTS: usize = 16;
/// One task in so many is of a kind that nobody can do.
const POISON_EVERY: usize = 50;
/// How long nothing may be done at all.
const STUCK: Duration = Duration::from_mins(3);

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let each = run.dose as usize / 3;
    let embedded = Site::embedded()?;
    worked(run, each, embedded, false, &mut tally).map_err(|it| it.at("on SQLite"))?;
    let servers = Servers::start(Engines::Postgres)?;
    worked(run, each, Site::on(&servers)?, true, &mut tally).map_err(|it| it.at("on Postgres"))?;
    let servers = Servers::start(Engines::All)?;
    worked(run, each, Site::on(&servers)?, true, &mut tally).map_err(|it| it.at("on RabbitMQ"))?;
    tally.must_have("workers killed")?;
    Ok(tally)
}

/// What is killed: workers beside the service, or the service that works itself.
struct Crew {
    site: Site,
    service: Option<Process>,
    workers: Vec<Process>,
    address: std::net::SocketAddr,
}

impl Crew {
    /// Kills one and starts another.
    fn kill_one(&mut self, random: &mut StdRng) -> Outcome {
        if self.workers.is_empty() {
            self.service.take().ok_or_else(|| Failure::new("no service"))?.kill()?;
            self.service = Some(self.site.serve(self.address)?);
            return Ok(());
        }
        let at = random.random_range(0..self.workers.len());
        self.workers.swap_remove(at).kill()?;
        self.workers.push(self.site.work()?);
        Ok(())
    }
}

fn worked(run: &Run, count: usize, mut site: Site, beside: bool, tally: &mut Tally) -> Outcome {
    site.set("DAYBOOK_TEXT_TASK_DURATION", run.size("2ms", "60ms"));
    site.set("DAYBOOK_TASK_LEASE", "2s");
    site.set("DAYBOOK_TASK_PAUSE", "20ms");
    // Being killed counts as an attempt.
    site.set("DAYBOOK_TASK_ATTEMPTS", "1000");
    let address = free_address()?;
    let service = Some(site.serve(address)?);
    let workers =
        (0..if beside { 2 } else { 0 }).map(|_| site.work()).collect::<Outcome<Vec<_>>>()?;
    let mut crew = Crew { site, service, workers, address };
    let client = Client::register(&[address], "ada@example.com")?;
    let mut random = StdRng::seed_from_u64(run.seed);
    let poison = count.div_ceil(POISON_EVERY);
    let early = thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = client.clone();
                scope.spawn(move || ask(client, (number..count).step_by(CLIENTS)))
            })
            .collect();
        while asking.iter().any(|client| !client.is_finished()) {
            crew.kill_one(&mut random)?;
            tally.add("workers killed", 1);
            thread::sleep(Duration::from_millis(random.random_range(20..250)));
        }
        for client in asking {
            client.join().map_err(|_| Failure::new("a client panicked"))??;
        }
        finished(&client, "done")
    })?;
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let done = finished(&client, "done")?.len() + finished(&client, "dead")?.len();
        run.progress.set_position(
            run.progress.position().max(tally.count("tasks done once") + done as u64),
        );
        if done >= count {
            break;
        }
        if done > last {
            (last, since) = (done, Instant::now());
        }
        ensure(since.elapsed() < STUCK, || format!("only {done} of {count} tasks are finished"))?;
        crew.kill_one(&mut random)?;
        tally.add("workers killed", 1);
        thread::sleep(Duration::from_millis(random.random_range(100..600)));
    }
    let (done, dead) = (finished(&client, "done")?, finished(&client, "dead")?);
    ensure(done.len() == count - poison && dead.len() == poison, || {
        format!("{} done and {} dead of {count}, {poison} of them poison", done.len(), dead.len())
    })?;
    // What was done is not done again.
    for (id, at) in &early {
        ensure(done.get(id) == Some(at), || format!("task {id} was done again"))?;
    }
    tally.add("tasks done once", done.len());
    tally.add("dead with the reason", dead.len());
    crew.site.verify()
}

fn ask(mut client: Client, numbers: impl Iterator<Item = usize>) -> Outcome {
    for number in numbers {
        let kind = if number % POISON_EVERY == 0 { "nobody-knows-this" } else { "text" };
        let body = json!({ "kind": kind, "payload": number.to_string() });
        insist(&mut client, "/tasks", &format!("task-{number}"), Some(&body))?.expect(202)?;
    }
    Ok(())
}

/// The tasks in this state, and when they were finished.
fn finished(client: &Client, state: &str) -> Outcome<BTreeMap<String, String>> {
    let tasks = client.clone().pages(&format!("/tasks?state={state}&limit=1000"))?;
    let member = |task: &Value, name| task.get(name).and_then(Value::as_str).map(str::to_owned);
    tasks
        .iter()
        .map(|task| match (member(task, "id"), member(task, "finished_at")) {
            (Some(id), Some(at)) => {
                let explained = state != "dead" || member(task, "last_error").is_some();
                ensure(explained, || format!("task {id} is dead without a reason"))?;
                Ok((id, at))
            }
            _ => Err(Failure::new(format!("a task is {state} without a time: {task}"))),
        })
        .collect()
}
