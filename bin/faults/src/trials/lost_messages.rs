//! RabbitMQ loses messages as its operators make it: queues are purged and deleted, and policies drop
//! what is too old or too much.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use daybook_events::Timestamp;
use daybook_services::RabbitMq;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::client::Client;
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::leftovers::held;
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{CLOCK, Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "lost-messages",
    title: "RabbitMQ's queues are purged, deleted, cut by policies: every task is done, and once",
    short: 1,
    full: 20,
    run,
};

const CLIENTS: usize = 4;
/// What is asked for when all is over is done at once.
const AT_ONCE: Duration = Duration::from_secs(15);
/// A task is overdue after a minute, which is looked for every half minute.
const FOUND_WITHIN: Duration = Duration::from_secs(90);
/// So long nothing has been done any more when what is left is lost.
const QUIET: Duration = Duration::from_millis(1_500);
/// How far the clock is set forward where there is no time to wait.
const FORWARD: u64 = 61;
/// What a worker says of each task when it begins it.
const BEGINS: &str = "Processing: ";

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::All)?;
    let rabbitmq = servers.rabbitmq.as_ref().ok_or_else(|| Failure::new("no RabbitMQ"))?;
    run.rounds(run.dose, |round| {
        let mut site = Site::on(&servers)?;
        site.set("DAYBOOK_TEXT_TASK_DURATION", "50ms");
        site.set("DAYBOOK_TASKS", "1");
        site.set("DAYBOOK_SHUTDOWN_DELAY", "0s");
        site.set("DAYBOOK_QUORUM_QUEUES", if round.number % 2 == 1 { "true" } else { "false" });
        let clock = site.folder().join("clock");
        site.set(CLOCK, &clock.display().to_string());
        lost(run, round, &site, rabbitmq, &mut tally)
    })?;
    tally.must_have("tasks whose messages were lost")?;
    Ok(tally)
}

fn lost(
    run: &Run,
    round: &mut Round,
    site: &Site,
    rabbitmq: &RabbitMq,
    tally: &mut Tally,
) -> Outcome {
    let addresses = [free_address()?, free_address()?];
    let serve = || addresses.iter().map(|address| site.serve(*address)).collect::<Outcome<_>>();
    let mut instances: Vec<Process> = serve()?;
    let workers = [site.work()?, site.work()?];
    let client = Client::register(&addresses, "ada@example.com")?;
    let queue = site.get("DAYBOOK_TASK_QUEUE").unwrap_or_default();
    let mut tasks = ask_while(round.seed, &client, || hurt(round, rabbitmq, queue, tally))?;
    // Those who were there all the time go on.
    let after = (0..CLIENTS).map(|number| ask(&client, &format!("after-{number}"), 0));
    let after = after.collect::<Outcome<Vec<_>>>()?;
    tasks.extend(after.iter().cloned());
    let began = Instant::now();
    while !after.iter().all(|task| finished(&client).is_ok_and(|done| done.contains_key(task))) {
        ensure(began.elapsed() < AT_ONCE, || "what is asked for now is not done".to_owned())?;
        thread::sleep(Duration::from_millis(50));
    }
    let early = settled(&client)?;
    let missing = tasks.iter().filter(|task| !early.contains_key(*task)).count();
    tally.add("tasks whose messages were lost", missing);
    let mut output = Vec::new();
    let mut within = FOUND_WITHIN + AT_ONCE;
    if !run.full {
        // A minute passes. What is started now looks at once for what is overdue.
        fs::write(site.folder().join("clock"), FORWARD.to_string())?;
        for instance in instances.drain(..) {
            output.push(instance.stderr());
            instance.kill()?;
        }
        instances = serve()?;
        within = AT_ONCE;
    }
    let began = Instant::now();
    while finished(&client)?.len() < tasks.len() || overdue(&client)? > 0 {
        ensure(began.elapsed() < within, || {
            let done = finished(&client).map_or(0, |done| done.len());
            format!("{done} of {} tasks are done, {:?} are overdue", tasks.len(), overdue(&client))
        })?;
        thread::sleep(Duration::from_millis(100));
    }
    tally.time("the last was done after", began.elapsed());
    let done = finished(&client)?;
    let again = early.iter().find(|(task, at)| done.get(*task) != Some(*at));
    ensure(again.is_none(), || format!("a task was done again: {again:?}"))?;
    output.extend(instances.iter().chain(&workers).map(Process::stderr));
    once(&output, &tasks)?;
    tally.add("tasks done once", tasks.len());
    drop((instances, workers));
    let report = site.audit()?;
    ensure(!report.contains("overdue"), || format!("daybook verify: {report}"))
}

/// Each was begun by one worker, once.
fn once(output: &[String], tasks: &[String]) -> Outcome {
    let mut times: BTreeMap<&str, u32> = tasks.iter().map(|task| (task.as_str(), 0)).collect();
    for line in output.iter().flat_map(|text| text.lines()).filter(|line| line.contains(BEGINS)) {
        let named =
            line.split_once("task_id=").and_then(|(_, rest)| rest.split_whitespace().next());
        let count = named.and_then(|task| times.get_mut(task));
        *count.ok_or_else(|| Failure::new(format!("nobody asked for this: {line}")))? += 1;
    }
    let other = times.iter().find(|(_, count)| **count != 1);
    ensure(other.is_none(), || format!("not begun once, but so often: {other:?}"))
}

/// What is done to the queues, each once.
fn hurt(round: &mut Round, rabbitmq: &RabbitMq, queue: &str, tally: &mut Tally) -> Outcome {
    let mut faults = ["purge", "delete", "max-length", "message-ttl"];
    faults.shuffle(&mut round.random);
    for fault in faults {
        round.wait(200, 600);
        match fault {
            "purge" | "delete" => {
                let which = ["", "", ".high", ".low", ".due"].choose(&mut round.random);
                let name = format!("{queue}{}", which.unwrap_or(&""));
                rabbitmq.control(&[&format!("{fault}_queue"), &name])?;
            }
            _ => {
                let drops = format!("{{\"{fault}\":1}}");
                rabbitmq.control(&["set_policy", "drops", &format!("^{queue}"), &drops])?;
                round.wait(100, 500);
                rabbitmq.control(&["clear_policy", "drops"])?;
            }
        }
        tally.add("faults", 1);
    }
    Ok(())
}

/// Asks for tasks, of every priority and some for later, until `meanwhile` has ended; their ids.
fn ask_while(
    seed: u64,
    client: &Client,
    meanwhile: impl FnOnce() -> Outcome,
) -> Outcome<Vec<String>> {
    let over = AtomicBool::new(false);
    let tasks = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let asking: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let client = client.starting_at(number);
                let mut random = StdRng::seed_from_u64(seed ^ ((number as u64) << 40));
                let (over, tasks) = (&over, &tasks);
                scope.spawn(move || {
                    for count in 0.. {
                        if over.load(Ordering::SeqCst) {
                            break;
                        }
                        let later = if random.random_range(0..4) == 0 {
                            random.random_range(1..1_500)
                        } else {
                            0
                        };
                        let task = ask(&client, &format!("{number}-{count}"), later)?;
                        held(tasks).push(task);
                        thread::sleep(Duration::from_millis(random.random_range(15..50)));
                    }
                    Ok::<_, Failure>(())
                })
            })
            .collect();
        let happened = meanwhile();
        over.store(true, Ordering::SeqCst);
        for client in asking {
            client.join().map_err(|_| Failure::new("a client panicked"))??;
        }
        happened
    })?;
    Ok(tasks.into_inner().unwrap_or_default())
}

/// Asks for a task that is due in so many milliseconds; its id.
fn ask(client: &Client, name: &str, later: i64) -> Outcome<String> {
    let mut client = client.clone();
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let due = Timestamp::from_micros(i64::try_from(since.as_micros())? + later * 1_000);
    let priority = ["high", "normal", "normal", "low"].get(name.len() % 4);
    let body = json!({
        "kind": "text", "payload": name, "priority": priority, "run_at": due.to_string(),
    });
    insist(&mut client, "/tasks", name, Some(&body))?.expect(202)?.text("task_id")
}

/// The tasks that are done, and when they were.
fn finished(client: &Client) -> Outcome<BTreeMap<String, String>> {
    let tasks = client.clone().pages("/tasks?state=done&limit=1000")?;
    let member = |task: &Value, name| task.get(name).and_then(Value::as_str).map(str::to_owned);
    let done = tasks.iter().map(|task| Some((member(task, "id")?, member(task, "finished_at")?)));
    let done = done.collect::<Option<_>>();
    done.ok_or_else(|| Failure::new("a task is done without a time"))
}

/// The same, once nothing more is done.
fn settled(client: &Client) -> Outcome<BTreeMap<String, String>> {
    let (mut last, mut since) = (BTreeMap::new(), Instant::now());
    while since.elapsed() < QUIET {
        let done = finished(client)?;
        if done != last {
            (last, since) = (done, Instant::now());
        }
        thread::sleep(Duration::from_millis(100));
    }
    Ok(last)
}

/// How many tasks are overdue, as it is measured.
fn overdue(client: &Client) -> Outcome<u64> {
    let reply = client.clone().get("/metrics")?.expect(200)?;
    let text = reply.body.as_str().unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("daybook_tasks_overdue "));
    let count = count.and_then(|count| count.parse().ok());
    count.ok_or_else(|| Failure::new("it is not measured how many tasks are overdue"))
}
