//! Two instances on one database: one log, no read behind a write, whichever of them answers, dies or
//! stands still.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use daybook_services::Proxy;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Client, Folder, Process, Sse, eventually};

const CLIENTS: usize = 64;
const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// An instance, and a client that talks to it alone.
struct Instance {
    process: Process,
    client: Client,
}

fn start(folder: &Folder, token: Option<&str>) -> Instance {
    let (process, address) = folder.start(&SERVE).listening();
    let client = Client::new([address]);
    let client = token.map_or(client.clone(), |token| client.with_token(token));
    Instance { process, client }
}

/// Two of them, with someone who is registered with both.
fn two(folder: &Folder) -> [Instance; 2] {
    let first = start(folder, None);
    let client = first.client.register("ada@example.com");
    let second = start(folder, Some(client.token()));
    [Instance { client, ..first }, second]
}

fn cents(amount: &Value) -> u64 {
    amount.as_str().unwrap().replace('.', "").parse().unwrap()
}

/// Hears the positions up to `last`, which come once and in order, from the first on.
#[track_caller]
fn hears_everything(stream: &Sse, last: u64) {
    for position in 1..=last {
        assert_eq!(stream.next().id, position.to_string());
    }
}

fn head(client: &Client) -> u64 {
    client.events().last().unwrap()["position"].as_u64().unwrap()
}

#[test]
fn sixty_four_clients_over_both_see_one_log_and_no_stale_read() {
    let folder = Folder::new();
    let instances = two(&folder);
    let streams = instances.each_ref().map(|one| one.client.listen("/events/stream?after=0", None));
    let common = instances[0].client.open_account("Common", "EUR", &json!("0"));
    let deposited = AtomicU64::new(0);
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (common, deposited) = (&common, &deposited);
            let clients = instances.each_ref().map(|one| one.client.apart());
            scope.spawn(move || {
                let own = clients[number % 2].open_account("Own", "EUR", &json!("1.00"));
                for turn in 0..12_usize {
                    let (here, there) = (&clients[turn % 2], &clients[(turn + 1) % 2]);
                    let amount = json!({ "amount": "0.01" });
                    let made =
                        here.post(&format!("/accounts/{own}/deposits"), &amount).written(201);
                    // What was answered here is seen there.
                    let read = there.get(&format!("/accounts/{own}")).expect(200).json();
                    assert_eq!(read["balance"], made.json()["balance"]);
                    here.post(&format!("/accounts/{common}/deposits"), &amount).written(201);
                    let at_least = deposited.fetch_add(1, Ordering::SeqCst) + 1;
                    let read = there.get(&format!("/accounts/{common}")).expect(200).json();
                    assert!(cents(&read["balance"]) >= at_least, "{read}, but {at_least}");
                }
                clients[0].delete(&format!("/accounts/{own}")).written(204);
                clients[1].get(&format!("/accounts/{own}")).problem(404);
            });
        }
    });
    let [first, second] = &instances;
    let events = first.client.events();
    let positions: Vec<_> = events.iter().map(|e| e["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    assert_eq!(second.client.events(), events);
    for stream in &streams {
        hears_everything(stream, positions.len() as u64);
    }
    let ids: BTreeSet<_> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
}

/// Deposits one cent after another, each under a key of its own, at whichever instance answers, until
/// it is told to stop; how many were acknowledged.
fn deposit(clients: &[Client; 2], account: &str, name: &str, stop: &AtomicBool) -> u64 {
    let mut acknowledged = 0;
    while !stop.load(Ordering::SeqCst) {
        let key = format!("{name}-{acknowledged}");
        let began = Instant::now();
        loop {
            let attempt = usize::try_from(began.elapsed().as_millis()).unwrap();
            let client = &clients[attempt % 2];
            let path = format!("/accounts/{account}/deposits");
            let sent = client.ask("POST", &path).key(&key).json(&json!({ "amount": "0.01" }));
            match sent.try_send() {
                Ok(reply) if reply.status == 201 => break,
                // Nothing happened, or nobody knows: the key tells.
                Ok(reply) => assert_eq!(reply.status, 503, "{reply:?}"),
                Err(_) => {}
            }
            assert!(began.elapsed() < Duration::from_mins(1), "{key} is never acknowledged");
            thread::sleep(Duration::from_millis(20));
        }
        acknowledged += 1;
    }
    acknowledged
}

/// What is acknowledged while `trouble` comes over the instances is there once; the log has no gap,
/// and whoever follows it at the first instance misses nothing.
fn under_load(folder: &Folder, trouble: impl FnOnce([Instance; 2]) -> [Instance; 2]) {
    let instances = two(folder);
    let account = instances[0].client.open_account("Common", "EUR", &json!("0"));
    let stream = instances[0].client.listen("/events/stream?after=0", None);
    let clients: [Client; 2] = instances.each_ref().map(|one| one.client.clone());
    let (stop, addresses) = (AtomicBool::new(false), Mutex::new(clients));
    let (acknowledged, instances) = thread::scope(|scope| {
        let depositing: Vec<_> = (0..16)
            .map(|number| {
                let (account, stop, addresses) = (&account, &stop, &addresses);
                scope.spawn(move || {
                    let clients = addresses.lock().unwrap().each_ref().map(Client::apart);
                    deposit(&clients, account, &format!("c{number}"), stop)
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(500));
        let instances = trouble(instances);
        thread::sleep(Duration::from_millis(500));
        stop.store(true, Ordering::SeqCst);
        let counts = depositing.into_iter().map(|one| one.join().unwrap());
        (counts.sum::<u64>(), instances)
    });
    for one in &instances {
        let read = one.client.get(&format!("/accounts/{account}")).expect(200).json();
        assert_eq!(cents(&read["balance"]), acknowledged, "{read}");
    }
    let events = instances[0].client.events();
    let positions: Vec<_> = events.iter().map(|e| e["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
    hears_everything(&stream, head(&instances[0].client));
}

#[test]
fn an_instance_that_is_killed_loses_nothing() {
    let folder = Folder::new();
    under_load(&folder, |[first, second]| {
        let token = first.client.token().to_owned();
        drop(second.process);
        thread::sleep(Duration::from_secs(1));
        [first, start(&folder, Some(&token))]
    });
}

#[test]
fn an_instance_that_stands_still_holds_up_nobody() {
    let folder = Folder::new();
    under_load(&folder, |[first, second]| {
        second.process.signal(Signal::STOP);
        // Longer than it may have had the lock in hand.
        thread::sleep(Duration::from_secs(5));
        let began = Instant::now();
        let account = first.client.open_account("Meanwhile", "EUR", &json!("0"));
        first.client.get(&format!("/accounts/{account}")).expect(200);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        second.process.signal(Signal::CONT);
        [first, second]
    });
}

#[test]
fn the_relay_of_an_instance_that_dies_or_stands_still_is_taken_over() {
    let folder = Folder::new();
    let [first, second] = two(&folder);
    // Whoever hears it on the channel is told by the relay.
    let subscriber = folder.start(&["subscribe"]);
    eventually("it subscribed", || subscriber.stdout().contains('\n').then_some(()));
    let hears = |client: &Client, text: &str| {
        client.post("/notifications", &json!({ "message": text })).written(202);
        eventually("it is heard", || {
            subscriber.stdout().contains(&format!("Received message: {text}\n")).then_some(())
        });
    };
    hears(&second.client, "both");
    first.process.signal(Signal::STOP);
    hears(&second.client, "one stands still");
    first.process.signal(Signal::CONT);
    // On a connection of its own: the one from before was idle for too long meanwhile.
    hears(&first.client.apart(), "both again");
    drop(first.process);
    hears(&second.client, "one is dead");
    let text = subscriber.stdout();
    let order: Vec<_> = ["both\n", "one stands still\n", "both again\n", "one is dead\n"]
        .map(|text| format!("Received message: {text}"))
        .iter()
        .map(|line| text.find(line).unwrap())
        .collect();
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn what_a_writer_could_not_tell_the_cache_the_relay_does() {
    let folder = Folder::new();
    let redis = folder.engines().redis();
    let proxy = Proxy::to(redis.port()).unwrap();
    let by_proxy = proxy.url_of(&redis.url());
    let first = start(&folder, None);
    let reader = first.client.register("ada@example.com");
    let (_writer, address) = folder.start_with(&SERVE, &[("REDIS_URL", &*by_proxy)]).listening();
    let writer = Client::new([address]).with_token(reader.token());
    let account = reader.open_account("Daily", "EUR", &json!("1"));
    for round in 2..5 {
        // In the cache, as it is now.
        reader.get(&format!("/accounts/{account}")).expect(200);
        proxy.cut();
        let began = Instant::now();
        let deposit = json!({ "amount": "1" });
        writer.post(&format!("/accounts/{account}/deposits"), &deposit).written(201);
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        let now = format!("{round}.00");
        assert_eq!(writer.balance(&account), now);
        // The relay may have been the writer's, which then gave its lead away.
        eventually("the reader sees it", || (reader.balance(&account) == now).then_some(()));
        proxy.restore();
        eventually("the writer is whole again", || {
            let health = writer.get("/health/ready").expect(200);
            (health.text("status") == "ready").then_some(())
        });
    }
}

#[test]
fn a_redis_that_is_flushed_paused_or_killed_makes_no_read_stale() {
    let folder = Folder::new();
    let instances = two(&folder);
    let redis = folder.engines().redis();
    let account = instances[0].client.open_account("Daily", "EUR", &json!("0"));
    let path = format!("/accounts/{account}");
    let stream = instances[1].client.listen("/events/stream?after=0", None);
    let (deposited, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for number in 0..8_usize {
            let clients = instances.each_ref().map(|one| one.client.apart());
            let (path, deposited, stop) = (&path, &deposited, &stop);
            scope.spawn(move || {
                for turn in number.. {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    let (here, there) = (&clients[turn % 2], &clients[(turn + 1) % 2]);
                    let amount = json!({ "amount": "0.01" });
                    here.post(&format!("{path}/deposits"), &amount).written(201);
                    let at_least = deposited.fetch_add(1, Ordering::SeqCst) + 1;
                    let began = Instant::now();
                    let read = there.get(path).expect(200).json();
                    // While Redis goes away and comes back a writer may not reach it: then the
                    // relay puts it right, and until it has, the read is repeated.
                    let mut fresh = cents(&read["balance"]) >= at_least;
                    while !fresh && began.elapsed() < Duration::from_secs(10) {
                        fresh = cents(&there.get(path).expect(200).json()["balance"]) >= at_least;
                    }
                    assert!(fresh, "{read} is not {at_least}");
                }
            });
        }
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(500));
            crate::others::redis_cli(&folder, &["FLUSHALL"]);
            thread::sleep(Duration::from_millis(500));
            redis.pause().unwrap();
            thread::sleep(Duration::from_secs(2));
            redis.resume().unwrap();
            thread::sleep(Duration::from_millis(500));
            redis.kill().unwrap();
            thread::sleep(Duration::from_millis(500));
            redis.restart().unwrap();
        }
        thread::sleep(Duration::from_secs(1));
        stop.store(true, Ordering::SeqCst);
    });
    hears_everything(&stream, head(&instances[0].client));
}
