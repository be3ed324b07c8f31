//! The disk is full.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use daybook_services::{Postgres, Redis};
use serde_json::{Value, json};

use crate::client::{Client, Reply, lost};
use crate::crowd::insist;
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r7",
    title: "the disk is full, on SQLite and Postgres: 503, nothing is lost, and it recovers",
    short: 6,
    full: 30,
    run,
};

/// How large the disk is. What the service writes in a run fits in, beside the ballast.
const ROOM: u64 = 256 << 20;
const RECOVERED_WITHIN: Duration = Duration::from_secs(20);
/// So many commands are refused before room is made.
const REFUSALS: usize = 20;
/// The disk is full after so many commands at the latest.
const COMMANDS: usize = 5_000;

fn run(run: &Run) -> Outcome<Tally> {
    if let Some(reason) = Site::no_small_room()? {
        return Ok(Tally::skipped(format!("no file system can be mounted here: {reason}")));
    }
    let mut tally = Tally::default();
    let half = run.dose.div_ceil(2);
    on_sqlite(run, half, &mut tally).map_err(|failure| failure.at("on SQLite"))?;
    on_postgres(run, run.dose - half, &mut tally).map_err(|failure| failure.at("on Postgres"))?;
    Ok(tally)
}

fn on_sqlite(run: &Run, rounds: u32, tally: &mut Tally) -> Outcome {
    let site = Site::embedded()?;
    let address = free_address()?;
    let args = ["serve", "--listen", &address.to_string()];
    let instance = site.begin_in_small_room(ROOM, &args)?.ready()?;
    let ballast = instance.inside(&site.folder().join("ballast"));
    filled(run, rounds, address, &ballast, tally)?;
    take_out(&site, &instance)?;
    site.verify()
}

/// The tables' disk is full; that of the write-ahead log is another. Where that one is full, the server
/// ends, as if it were killed.
fn on_postgres(run: &Run, rounds: u32, tally: &mut Tally) -> Outcome {
    let servers = Servers {
        postgres: Postgres::start_in_small_room(ROOM)?,
        redis: Redis::start()?,
        rabbitmq: None,
    };
    let site = Site::on(&servers)?;
    let address = free_address()?;
    let instance = site.serve(address)?;
    let ballast: PathBuf = servers.postgres.room()?.join("ballast");
    filled(run, rounds, address, &ballast, tally)?;
    drop(instance);
    site.verify()
}

/// Fills the disk that the ballast is on, and makes room again, so many times.
fn filled(
    run: &Run,
    rounds: u32,
    address: SocketAddr,
    ballast: &Path,
    tally: &mut Tally,
) -> Outcome {
    let mut client = Client::register(&[address], "ada@example.com")?;
    let (order, mut acknowledged) = (large_order(), Vec::new());
    run.rounds(rounds, |round| {
        fill(ballast)?;
        // What was written before is written over first.
        let mut refused = Vec::new();
        for number in 0_usize.. {
            let key = format!("full-{}-{number}", round.seed);
            let reply = create(&mut client, &key, &order)?;
            match reply.status {
                201 => acknowledged.push(reply.text("order_id")?),
                503 => refused.push(key),
                _ => return Err(Failure::new(format!("{reply:?}"))),
            }
            if refused.len() == REFUSALS {
                break;
            }
            ensure(number < COMMANDS, || "a full disk was not noticed".to_owned())?;
        }
        tally.add("refused with 503", refused.len());
        fs::remove_file(ballast)?;
        let began = Instant::now();
        let again = format!("again-{}", round.seed);
        loop {
            let reply = create(&mut client, &again, &order)?;
            if reply.status == 201 {
                acknowledged.push(reply.text("order_id")?);
                break;
            }
            ensure(began.elapsed() < RECOVERED_WITHIN, || format!("no recovery: {reply:?}"))?;
            std::thread::sleep(Duration::from_millis(10));
        }
        tally.time("recovery", began.elapsed());
        // Those that were refused can be done now, with the same keys.
        for key in refused {
            let reply = insist(&mut client, "/orders", &key, Some(&order))?.expect(201)?;
            acknowledged.push(reply.text("order_id")?);
        }
        Ok(())
    })?;
    tally.add("disks filled", rounds as usize);
    let orders = client.pages("/orders?limit=1000")?;
    let there: BTreeSet<_> = orders.iter().filter_map(|order| order.get("id")?.as_str()).collect();
    let missing = acknowledged.iter().filter(|id| !there.contains(id.as_str())).count();
    ensure(missing == 0 && there.len() == acknowledged.len(), || {
        format!("{missing} of {} orders are missing, {} are there", acknowledged.len(), there.len())
    })?;
    tally.add("orders acknowledged, all there", acknowledged.len());
    Ok(())
}

fn create(client: &mut Client, key: &str, order: &Value) -> Outcome<Reply> {
    client.ask("POST", "/orders", Some(key), Some(order)).map_err(lost)
}

/// An order that takes some room.
fn large_order() -> Value {
    let line = json!({ "name": "x".repeat(150), "quantity": 1, "unit_price": "1" });
    json!({ "currency_code": "EUR", "lines": vec![line; 50] })
}

/// Leaves no byte.
fn fill(ballast: &Path) -> Outcome {
    let mut file = File::create(ballast)?;
    for size in [1 << 20, 4 << 10, 1] {
        let block = vec![b'x'; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

/// Copies the database from where only the process sees it to where the site has it.
fn take_out(site: &Site, instance: &Process) -> Outcome {
    let database = site.folder().join("daybook.db");
    for name in ["daybook.db", "daybook.db-wal"] {
        let inside = instance.inside(&site.folder().join(name));
        if inside.exists() {
            fs::copy(inside, database.with_file_name(name))?;
        }
    }
    Ok(())
}
