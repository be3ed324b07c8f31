//! Three times as much is asked for as the database can take.

use std::sync::{Barrier, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Client, Reply, lost};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "overload",
    title: "three times the capacity is offered: the rest is refused at once, and nobody else waits",
    short: 1,
    full: 10,
    run,
};

/// A commit takes so long, so that it is the database that has no room, and not the machine that the
/// clients are on, too.
const COMMIT: Duration = Duration::from_millis(30);
const BATCH: u32 = 8;
const QUEUE: u32 = 64;
/// As many as can be in hand at once: the queue and a batch.
const CLOSED: u32 = QUEUE;
/// Enough for those who wait and those who are refused; each asks in turn.
const OPEN: u32 = 360;
const READERS: u32 = 4;
const READ_EVERY: Duration = Duration::from_millis(20);
/// A refusal takes no longer, on the machine that the clients are on, too.
const AT_ONCE: Duration = Duration::from_millis(10);
/// What a process may grow by, whatever is offered.
const GROWTH: u64 = 64 << 20;

fn run(run: &Run) -> Outcome<Tally> {
    let mut tally = Tally::default();
    let servers = Servers::start(Engines::Postgres)?;
    let mut site = Site::on(&servers)?;
    site.set("DAYBOOK_BATCH", &BATCH.to_string());
    site.set("DAYBOOK_QUEUE", &QUEUE.to_string());
    let address = free_address()?;
    let instance = site.serve(address)?;
    slow_commits(&site)?;
    let client = Client::register(&[address], "ada@example.com")?;
    let time = run.size(Duration::from_secs(10), Duration::from_secs(4));
    run.rounds(run.dose, |_| {
        let peak = done(&closed_loop(&client, time)?);
        ensure(peak > 0, || "nothing was done".to_owned())?;
        let before = instance.resident_bytes().unwrap_or(0);
        let (asked, reads) = thread::scope(|scope| {
            let reading = scope.spawn(|| read(&client, time));
            let asked = open_loop(&client, time / (3 * peak), time);
            let reads = reading.join().map_err(|_| Failure::new("a reader panicked"))?;
            Ok::<_, Failure>((asked?, reads?))
        })?;
        let grown = instance.resident_bytes().unwrap_or(0).saturating_sub(before);
        ensure(grown < GROWTH, || format!("it has grown by {grown} bytes"))?;
        judge(run, peak, &asked, &reads, &mut tally)
    })?;
    drop(instance);
    site.verify()?;
    Ok(tally)
}

fn judge(run: &Run, peak: u32, asked: &[Asked], reads: &[Asked], tally: &mut Tally) -> Outcome {
    let others = asked
        .iter()
        .find(|asked| asked.reply.status != 201 && !is_refused_as_it_should_be(&asked.reply));
    ensure(others.is_none(), || format!("{:?}", others.map(|asked| &asked.reply)))?;
    let kept = done(asked);
    let refused = || asked.iter().filter(|asked| asked.reply.status == 503);
    tally.add("done at the peak", peak as usize);
    tally.add("offered", asked.len());
    tally.add("done beside that", kept as usize);
    tally.add("refused", refused().count());
    tally.add("reads", reads.len());
    let (refusals, reading) = (p99(refused()), p99(reads.iter()));
    tally.time("p99 of refusals", refusals);
    tally.time("p99 of reads", reading);
    tally.must_have("refused")?;
    // In a debug build the clients take the processor from the service.
    let (percent, at_once) = run.size((95, AT_ONCE), (80, AT_ONCE * 10));
    ensure(u64::from(kept) * 100 >= u64::from(peak) * percent, || {
        format!("only {kept} of {peak} were done beside the load")
    })?;
    ensure(refusals <= at_once && reading <= at_once * 5, || {
        format!("refusals took {refusals:?}, reads {reading:?}")
    })
}

/// Makes every commit of events take its time.
fn slow_commits(site: &Site) -> Outcome {
    let seconds = COMMIT.as_secs_f64();
    let sql = format!(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
         'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END'; \
         CREATE TRIGGER slow AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION slow()"
    );
    daybook_services::ask_database(site.database(), &sql)?;
    Ok(())
}

/// An answer, and how long it took.
struct Asked {
    reply: Reply,
    took: Duration,
}

fn create(client: &mut Client) -> Outcome<Asked> {
    let line = json!({ "name": "Tea", "quantity": 1, "unit_price": "1" });
    let body = json!({ "currency_code": "EUR", "lines": [line] });
    let sent = Instant::now();
    let reply = client.ask("POST", "/orders", None, Some(&body)).map_err(lost)?;
    Ok(Asked { reply, took: sent.elapsed() })
}

/// As many clients as can be in hand, each of which asks again when it is answered.
fn closed_loop(client: &Client, time: Duration) -> Outcome<Vec<Asked>> {
    crowd(client, CLOSED, |client, _| {
        let (began, mut asked) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            asked.push(create(client)?);
        }
        Ok(asked)
    })
}

/// A request every so often, whether those before it are answered or not.
fn open_loop(client: &Client, every: Duration, time: Duration) -> Outcome<Vec<Asked>> {
    crowd(client, OPEN, |client, number| {
        let (began, mut asked) = (Instant::now(), Vec::new());
        let mut due = every * number;
        while due < time {
            thread::sleep(due.saturating_sub(began.elapsed()));
            asked.push(create(client)?);
            due += every * OPEN;
        }
        Ok(asked)
    })
}

fn crowd(
    client: &Client,
    count: u32,
    act: impl Fn(&mut Client, u32) -> Outcome<Vec<Asked>> + Sync,
) -> Outcome<Vec<Asked>> {
    let all = Mutex::new(Vec::new());
    // What is timed is how the service answers, and not how so many threads and connections come to be.
    let ready = Barrier::new(usize::try_from(count).unwrap_or(usize::MAX));
    thread::scope(|scope| {
        let members: Vec<_> = (0..count)
            .map(|number| {
                let (mut client, act, all, ready) = (client.clone(), &act, &all, &ready);
                scope.spawn(move || -> Outcome {
                    let connected = client.ask("GET", "/health/live", None, None);
                    ready.wait();
                    connected.map_err(lost)?.expect(200)?;
                    let asked = act(&mut client, number)?;
                    all.lock().unwrap_or_else(PoisonError::into_inner).extend(asked);
                    Ok(())
                })
            })
            .collect();
        for member in members {
            member.join().map_err(|_| Failure::new("a client panicked"))??;
        }
        Ok::<_, Failure>(())
    })?;
    Ok(all.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Someone else, who only reads.
fn read(client: &Client, time: Duration) -> Outcome<Vec<Asked>> {
    crowd(client, READERS, |client, _| {
        let (began, mut asked) = (Instant::now(), Vec::new());
        while began.elapsed() < time {
            let sent = Instant::now();
            let reply = client.ask("GET", "/me", None, None).map_err(lost)?.expect(200)?;
            asked.push(Asked { reply, took: sent.elapsed() });
            thread::sleep(READ_EVERY);
        }
        Ok(asked)
    })
}

/// How many commands were done.
fn done(asked: &[Asked]) -> u32 {
    let done = asked.iter().filter(|asked| asked.reply.status == 201).count();
    u32::try_from(done).unwrap_or(u32::MAX)
}

fn is_refused_as_it_should_be(reply: &Reply) -> bool {
    reply.status == 503 && reply.problem() == "overloaded" && reply.says_when_to_come_back
}

/// What ninety-nine of a hundred did not pass.
fn p99<'a>(asked: impl Iterator<Item = &'a Asked>) -> Duration {
    let mut times: Vec<_> = asked.map(|asked| asked.took).collect();
    times.sort_unstable();
    let rank = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times.get(rank).copied().unwrap_or_default()
}
