//! Instances are restarted one after the other under load, by SIGTERM.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::client::{Client, lost};
use crate::error::{Failure, Outcome, ensure};
use crate::run::{Run, Tally, Trial};
use crate::site::{Engines, Process, Servers, Site, free_address};

pub(super) const TRIAL: Trial = Trial {
    name: "r17",
    title: "instances are restarted in turn by SIGTERM under load: no request fails",
    short: 6,
    full: 200,
    run,
};

const CLIENTS: usize = 16;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What a load balancer knows of an instance.
struct Balanced {
    address: SocketAddr,
    ready: AtomicBool,
}

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
    let balancer: Arc<[Balanced]> = addresses
        .iter()
        .map(|address| Balanced { address: *address, ready: AtomicBool::new(true) })
        .collect();
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let looking = scope.spawn(|| look(&balancer, &client, &stop));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (client, balancer, stop, served) = (&client, &balancer, &stop, &served);
                scope.spawn(move || work(client, balancer, number, stop, served))
            })
            .collect();
        let restarted = run.rounds(run.dose, |round| {
            let at = round.number as usize % addresses.len();
            let (Some(place), Some(target)) = (instances.get_mut(at), balancer.get(at)) else {
                return Err(Failure::new("no instance"));
            };
            if let Some(instance) = place.take() {
                instance.ask_to_end()?;
                let ended = instance.ended()?;
                ensure(ended.status.success(), || format!("it ended with {}", ended.status))?;
            }
            *place = Some(site.serve(target.address)?);
            wait_until_ready(target)?;
            round.wait(50, 200);
            Ok(())
        });
        stop.store(true, Ordering::SeqCst);
        let worked: Vec<_> = clients.into_iter().map(thread::ScopedJoinHandle::join).collect();
        let _ = looking.join();
        for client in worked {
            client.map_err(|_| Failure::new("a client panicked"))??;
        }
        restarted
    })?;
    tally.add("restarts", run.dose as usize);
    tally.add("requests, none failed", served.into_inner());
    drop(instances);
    site.verify()?;
    Ok(tally)
}

/// Asks every instance now and then whether it is ready, as a load balancer does.
fn look(balancer: &[Balanced], client: &Client, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        for one in balancer {
            // A connection of its own each time.
            let reply = client.of(&[one.address]).ask("GET", "/health/ready", None, None);
            one.ready.store(reply.is_ok_and(|reply| reply.status == 200), Ordering::SeqCst);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn wait_until_ready(one: &Balanced) -> Outcome {
    for _ in 0..1_000 {
        if one.ready.load(Ordering::SeqCst) {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(Failure::new("an instance did not become ready"))
}

/// Writes and reads on whichever instance is ready. No request may fail, and none is repeated.
fn work(
    client: &Client,
    balancer: &[Balanced],
    number: usize,
    stop: &AtomicBool,
    served: &AtomicUsize,
) -> Outcome {
    let mut clients: Vec<_> = balancer
        .iter()
        .map(|one| client.of(&[one.address]).patient(Duration::from_secs(10)))
        .collect();
    for turn in number.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let count = balancer.len();
        let is_ready =
            |at: &usize| balancer.get(*at).is_some_and(|one| one.ready.load(Ordering::SeqCst));
        let ready = (turn..turn + count).map(|at| at % count).find(is_ready);
        let Some(client) = ready.and_then(|at| clients.get_mut(at)) else {
            return Err(Failure::new("no instance was ready"));
        };
        let line = json!({ "name": "Tea", "quantity": 1, "unit_price": "1" });
        let body = json!({ "currency_code": "EUR", "lines": [line] });
        let reply = client.ask("POST", "/orders", None, Some(&body)).map_err(lost)?.expect(201)?;
        let path = format!("/orders/{}", reply.text("order_id")?);
        client.ask("GET", &path, None, None).map_err(lost)?.expect(200)?;
        served.fetch_add(2, Ordering::Relaxed);
    }
    Ok(())
}
