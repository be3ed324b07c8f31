//! Subscribers stop reading while much is published.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;

use crate::check::Checks;
use crate::client::Client;
use crate::crowd::{Act, Answer, Deed, Deeds, insist};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Round, Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};
use crate::subscriber::{Manner, Subscriber};

pub(super) const TRIAL: Trial = Trial {
    name: "stopped-reader",
    title: "subscribers stop reading beside others who read, on SQLite and Postgres: memory is bounded",
    short: 2,
    full: 20,
    run,
};

/// What a process may take, whoever reads or doesn't.
const RESIDENT: u64 = 256 << 20;
/// As long as a message may be.
const MESSAGE: usize = 32 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);
/// It is looked twice a second whether a reader has had its time, and the processor is shared.
const SLACK: Duration = Duration::from_millis(1_500);
const PUBLISHERS: usize = 8;
const READERS: usize = 2;
/// A subscriber stops somewhere in the first events of a round.
const STOPS_WITHIN: u64 = 50;
/// Who comes back is followed for so many events.
const BACK: u64 = 100;

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let half = run.dose.div_ceil(2);
    stopped(run, half, Site::embedded()?, 1, &mut tally).map_err(|it| it.at("on SQLite"))?;
    let servers = Servers::start(Engines::Postgres)?;
    stopped(run, run.dose - half, Site::on(&servers)?, 2, &mut tally)
        .map_err(|it| it.at("on Postgres"))?;
    tally.must_have("stopped subscribers closed")?;
    Ok(tally)
}

fn stopped(run: &Run, rounds: u32, mut site: Site, instances: usize, tally: &mut Tally) -> Outcome {
    site.set("DAYBOOK_READER_PATIENCE", &format!("{}s", PATIENCE.as_secs()));
    let addresses = (0..instances).map(|_| free_address()).collect::<Outcome<Vec<_>>>()?;
    let processes =
        addresses.iter().map(|address| site.serve(*address)).collect::<Outcome<Vec<_>>>()?;
    let client = Client::register(&addresses, "ada@example.com")?;
    let mut checks = Checks::default();
    run.rounds(rounds, |round| {
        let after = checks.position();
        let stopping = (0..run.size(128, 16)).map(|number| {
            let stops_at = Some(after + round.random.random_range(1..=STOPS_WITHIN));
            let manner = Manner { after, stops_at, ..Manner::default() };
            Subscriber::with(&client.starting_at(number), manner)
        });
        let stopping: Vec<_> = stopping.collect();
        let reading = (0..READERS).map(|number| {
            let manner = Manner { after, ..Manner::default() };
            Subscriber::with(&client.starting_at(number), manner)
        });
        let reading: Vec<_> = reading.collect();
        let (deeds, most) = watched(&processes, || publish(run, round, &client))?;
        tally.add("MiB published", (deeds.all.len() * MESSAGE) >> 20);
        ensure(most <= RESIDENT, || format!("a process took {} MiB", most >> 20))?;
        tally.most("MiB resident", most >> 20);
        ensure(stopping.iter().all(Subscriber::has_stopped), || {
            "the trial is void: a subscriber has not come to where it stops".to_owned()
        })?;
        // What is written for them has long had no place any more.
        thread::sleep(PATIENCE + SLACK);
        stopping.iter().for_each(Subscriber::go_on);
        checks.round(&deeds, &client, tally)?;
        let head = checks.position();
        for subscriber in reading {
            let told = subscriber.until(head)?;
            ensure(told.resets == 0, || "a reader was reset".to_owned())?;
            tally.add("readers who missed nothing", 1);
        }
        for subscriber in stopping {
            // What the system has kept for it ends before what was published.
            let closed_at = subscriber.closed(head)?;
            let told = subscriber.until(head.min(closed_at + BACK))?;
            ensure(told.resets == 0, || "who came back was reset".to_owned())?;
            tally.add("stopped subscribers closed", 1);
        }
        Ok(())
    })?;
    drop(processes);
    site.verify()
}

/// Does something, and looks meanwhile what the processes take; answers the most that one of them took.
fn watched<T>(processes: &[Process], f: impl FnOnce() -> Outcome<T>) -> Outcome<(T, u64)> {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::SeqCst) {
                most = processes.iter().filter_map(Process::resident_bytes).fold(most, u64::max);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let done = f();
        over.store(true, Ordering::SeqCst);
        let most = watching.join().map_err(|_| Failure::new("who watched panicked"))?;
        ensure(most > 0, || "the trial is void: nobody says what a process takes".to_owned())?;
        Ok((done?, most))
    })
}

/// Publishes messages as long as they may be, on topics of their own.
fn publish(run: &Run, round: &Round, client: &Client) -> Outcome<Deeds> {
    let each = run.size(1_000, 150);
    let began = Instant::now();
    let mut deeds = Deeds::default();
    thread::scope(|scope| {
        let publishing: Vec<_> = (0..PUBLISHERS)
            .map(|number| {
                let topic = format!("{:x}-{number}", round.seed);
                let mut client = client.starting_at(number);
                scope.spawn(move || {
                    let say = |said| say(&mut client, number, &topic, said, began);
                    (0..each).map(say).collect::<Outcome<Vec<_>>>()
                })
            })
            .collect();
        for publisher in publishing {
            let said = publisher.join().map_err(|_| Failure::new("a publisher panicked"))??;
            deeds.all.extend(said);
        }
        Ok(deeds)
    })
}

fn say(
    client: &mut Client,
    number: usize,
    topic: &str,
    said: usize,
    began: Instant,
) -> Outcome<Deed> {
    let key = format!("{topic}-{said}");
    let text = format!("{key:x<MESSAGE$}");
    let body = json!({ "message": text, "topic": topic });
    let asked = began.elapsed();
    let reply = insist(client, "/notifications", &key, Some(&body))?.expect(202)?;
    let position = reply.position.ok_or_else(|| Failure::new("said without a position"))?;
    let act = Act::Publish { topic: topic.to_owned(), text };
    let answer = Answer::Done { position, id: None };
    Ok(Deed { client: number, act, asked, answered: began.elapsed(), answer })
}
