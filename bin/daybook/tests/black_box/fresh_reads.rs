//! What a reader learnt from a stream is not contradicted by what it reads afterwards.

use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::engines::Engines;
use crate::support::{Client, Folder, Message, Server};

const DEPOSITS: usize = 150;

/// Deposits as fast as it can while a listener asks after each event how the account stands.
fn follow(look: impl Fn(&Client, &str, &Message)) {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("0"));
    let path = format!("/accounts/{account}");
    // It is in the cache before it changes.
    client.get(&path).expect(200);
    let stream = client.listen("/events/stream", None);
    let (depositing, route) = (client.apart(), format!("{path}/deposits"));
    let deposits = thread::spawn(move || {
        for _ in 0..DEPOSITS {
            depositing.post(&route, &json!({ "amount": "1" })).written(201);
        }
    });
    for _ in 0..DEPOSITS {
        look(&client, &path, &stream.next_of(&["MoneyDeposited"]));
    }
    deposits.join().unwrap();
}

fn assert_as_new(shown: &serde_json::Value, event: &Message) {
    let (version, seen) = (shown["version"].as_u64().unwrap(), event.json()["version"].as_u64());
    assert!(version >= seen.unwrap(), "version {version} after {event:?}");
}

#[test]
fn a_read_is_as_new_as_the_event_that_was_seen_on_the_same_instance() {
    if Engines::SERVERS > 1 {
        // On several, a reader has to say what it has seen.
        return;
    }
    follow(|client, path, event| assert_as_new(&client.get(path).expect(200).json(), event));
}

#[test]
fn a_read_is_as_new_as_the_event_it_names_whichever_instance_answers() {
    follow(|client, path, event| {
        let read = client.ask("GET", path).header("Daybook-Min-Position", &event.id).send();
        assert_as_new(&read.expect(200).json(), event);
    });
}

#[test]
fn a_position_that_the_log_has_not_reached_is_waited_for_and_not_for_long() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("10.00"));
    let order = client.post_nothing("/orders").written(201).text("order_id");
    let head = client.events().last().unwrap()["position"].as_u64().unwrap();
    let at_least = |path: &str, position: &str| {
        client.ask("GET", path).header("Daybook-Min-Position", position).send()
    };
    for path in [
        "/accounts".to_owned(),
        format!("/accounts/{account}"),
        format!("/accounts/{account}/entries"),
        "/orders".to_owned(),
        format!("/orders/{order}"),
        format!("/orders/{order}/events"),
        "/events".to_owned(),
        "/tasks".to_owned(),
    ] {
        at_least(&path, &head.to_string()).expect(200);
        for bad in ["-1", "x", "1.0", "", "99999999999999999999"] {
            at_least(&path, bad).problem(400);
        }
    }
    let began = Instant::now();
    let refused = at_least("/accounts", &(head + 1).to_string()).problem(503);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert!(refused.text("type").ends_with("position-not-reached"), "{refused:?}");
    assert!(refused.header("Retry-After").is_some());
    // What is committed while it waits is waited for.
    let (waiting, path) = (client.apart(), format!("/accounts/{account}"));
    let reading = thread::spawn(move || {
        let next = (head + 1).to_string();
        waiting.ask("GET", &path).header("Daybook-Min-Position", &next).send().expect(200)
    });
    client.post(&format!("/accounts/{account}/deposits"), &json!({ "amount": "1" })).written(201);
    assert_eq!(reading.join().unwrap().text("balance"), "11.00");
}

#[test]
fn a_position_past_the_end_of_the_log_is_told() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let order = client.post_nothing("/orders").written(201);
    let head = order.position();
    let events = format!("/orders/{}/events", order.text("order_id"));
    for path in ["/events", &events] {
        let after = |position| client.get(&format!("{path}?after={position}"));
        assert!(after(head).expect(200).items().is_empty());
        for position in [head + 1, head + 1_000, i64::MAX.unsigned_abs()] {
            let said = after(position).problem(409).text("type");
            assert!(said.ends_with("position-past-end"), "{path}: {said}");
        }
    }
}
