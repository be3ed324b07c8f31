//! What one holder, or one address, can take of the service: so much that others have what they need.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Folder, Server, Wire, eventually};

const MIB: usize = 1 << 20;

/// A request on a connection that stays open.
fn request(path: &str, token: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n")
}

/// Tasks of 60 KiB each, due in a year.
fn large_tasks(client: &Client, count: usize) {
    for _ in 0..count {
        let text = "x".repeat(60 * 1024);
        let task = json!({ "kind": "later", "payload": text, "run_at": "2036-01-01T00:00:00Z" });
        client.post("/tasks", &task).written(202);
    }
}

/// The number in a line of the metrics.
fn metric(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics").expect(200).body;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).trim().parse().unwrap()
}

#[test]
fn a_page_has_a_mebibyte_at_most_and_goes_on_behind_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    large_tasks(&client, 40);
    let lines: Vec<_> = (0..100)
        .map(|n| json!({ "name": format!("{n:0>200}"), "quantity": 1, "unit_price": "1.00" }))
        .collect();
    for _ in 0..50 {
        client.post("/orders", &json!({ "currency_code": "EUR", "lines": lines })).written(201);
    }
    for (path, count) in [
        ("/tasks?limit=1000", 40),
        ("/tasks?limit=1000&state=queued", 40),
        ("/tasks", 40),
        ("/orders?limit=1000", 50),
        ("/events?limit=1000", 91),
    ] {
        let (mut seen, mut next) = (Vec::new(), Some(path.to_owned()));
        while let Some(page) = next {
            let reply = client.get(&page).expect(200);
            assert!(reply.body.len() <= MIB, "{page}: {} bytes", reply.body.len());
            next = reply.next_page();
            seen.extend(reply.items());
        }
        assert_eq!(seen.len(), count, "{path}");
        let name = |item: &serde_json::Value| item["id"].to_string();
        let mut names: Vec<_> = seen.iter().map(name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "{path} shows something twice");
    }
}

#[test]
fn replies_that_nobody_takes_leave_room_for_others_and_are_given_up() {
    let folder = Folder::new();
    let server = Server::start_with(
        &folder,
        &[("DAYBOOK_REPLY_BUFFER_MIB", "8"), ("DAYBOOK_READER_PATIENCE", "5s")],
    );
    let eve = server.register("eve@example.com");
    let ada = server.register("ada@example.com");
    ada.open_account("Daily", "EUR", &json!("1"));
    large_tasks(&eve, 20);
    // More than the sockets take by themselves.
    let unread: Vec<_> = (0..12)
        .map(|_| {
            let mut wire = Wire::to(server.address());
            wire.write(&request("/tasks?limit=1000", eve.token()).repeat(20));
            wire
        })
        .collect();
    let at = Client::new([server.address()]);
    let taken = || metric(&at, "daybook_reply_bytes ");
    eventually("some are not taken", || (taken() > 0).then_some(()));
    for _ in 0..20 {
        let began = Instant::now();
        let lists = at.with_token(ada.token());
        assert_eq!(lists.get("/accounts").expect(200).items().len(), 1);
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(taken() <= 8 * 1024 * 1024);
    }
    eventually("who takes nothing is closed", || (taken() == 0).then_some(()));
    drop(unread);
}

#[test]
fn one_holder_s_streams_keep_nobody_else_out() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_CONNECTIONS", "40")]);
    let eve = server.register("eve@example.com");
    let ada = server.register("ada@example.com");
    let mut statuses = Vec::new();
    let mut streams = Vec::new();
    for _ in 0..60 {
        let mut wire = Wire::to(server.address());
        wire.write(&request("/events/stream", eve.token()));
        let head = wire.try_head();
        statuses.extend(head.map(|head| head.split(' ').nth(1).unwrap().to_owned()));
        streams.push(wire);
    }
    let count = |status: &str| statuses.iter().filter(|one| *one == status).count();
    // An eighth of the connections are streams of one holder, and a quarter are one holder's.
    assert_eq!(count("200"), 5, "{statuses:?}");
    assert!(count("429") >= 5, "{statuses:?}");
    let at = Client::new([server.address()]);
    at.with_token(ada.token()).get("/me").expect(200);
    at.get("/health/ready").expect(200);
    let stream = at.with_token(ada.token()).listen("/events/stream", None);
    at.with_token(ada.token()).post_nothing("/orders").written(201);
    stream.next_of(&["OrderCreated"]);
    assert!(metric(&at, "daybook_streams_refused_total ") >= 5);
    drop(streams);
    eventually("they are closed", || (metric(&at, "daybook_streams_open ") <= 1).then_some(()));
    let log = server.terminate().stderr;
    assert_eq!(log.matches("streams were refused").count(), 1, "{log}");
}

#[test]
fn one_address_s_connections_keep_nobody_else_out() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_CONNECTIONS", "40")]);
    let (here, there): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
    let idle: Vec<_> = (0..100).map(|_| Wire::between(here, server.address())).collect();
    let ask = |from, path: &str| {
        let mut wire = Wire::between(from, server.address());
        wire.write(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        wire.try_head().and_then(|head| head.split(' ').nth(1).map(str::to_owned))
    };
    // From elsewhere all is as ever; and the reserve is for whoever asks how it is.
    assert_eq!(ask(there, "/openapi.json").as_deref(), Some("200"));
    let well = || (ask(here, "/health/ready").as_deref() == Some("200")).then_some(());
    eventually("it says how it is to the same address, too", well);
    assert_eq!(ask(there, "/health/ready").as_deref(), Some("200"));
    drop(idle);
    let all = || (ask(here, "/openapi.json").as_deref() == Some("200")).then_some(());
    eventually("the address has its connections again", all);
    let log = server.terminate().stderr;
    assert_eq!(log.matches("connections were refused").count(), 1, "{log}");
}
