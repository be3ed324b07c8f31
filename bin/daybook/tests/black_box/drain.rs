//! SIGTERM: no request in flight fails, and nobody is waited for who only listens.

use std::net::TcpStream;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Folder, Server, Wire, eventually};

#[test]
fn a_request_in_flight_is_answered() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("1.00"));
    let body = r#"{"amount":"2.00"}"#;
    let mut wire = Wire::to(server.address());
    wire.write(&format!(
        "POST /accounts/{account}/deposits HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        client.token(),
        body.len(),
    ));
    // It waits for the body: so it is in flight.
    assert!(wire.head().starts_with("HTTP/1.1 100 "));

    server.signal(Signal::TERM);
    eventually("it takes no new connections", || TcpStream::connect(server.address()).err());
    wire.write(body);
    let answer = wire.head();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");

    let server = Server::start(&folder);
    assert_eq!(client.at(&server.client()).balance(&account), "3.00");
}

#[test]
fn idle_connections_and_open_streams_are_not_waited_for() {
    let folder = Folder::new();
    // Who waits for them waits longer than this test does.
    let server = Server::start_with(&folder, &[("DAYBOOK_DRAIN", "1h")]);
    let client = server.register("ada@example.com");
    let idle = TcpStream::connect(server.address()).unwrap();
    let events = client.listen("/events/stream", None);
    let notifications = client.listen("/notifications/stream", None);
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    events.until_its_end();
    notifications.until_its_end();
    drop(idle);
}

#[test]
fn it_is_not_ready_before_it_takes_no_more_requests_and_its_answers_close_their_connections() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_SHUTDOWN_DELAY", "1h")]);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("1.00"));
    let head = |path: &str, token: Option<&str>| {
        let mut wire = Wire::to(server.address());
        let token = token.map(|it| format!("Authorization: Bearer {it}\r\n")).unwrap_or_default();
        wire.write(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{token}\r\n"));
        wire.head().to_lowercase()
    };
    let path = format!("/accounts/{account}");
    assert!(!head(&path, Some(client.token())).contains("connection: close"));

    server.signal(Signal::TERM);
    eventually("it says that it is stopping", || {
        head("/health/ready", None).starts_with("http/1.1 503 ").then_some(())
    });
    let answer = head(&path, Some(client.token()));
    assert!(answer.starts_with("http/1.1 200 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");

    // Who sends another signal does not want to wait.
    server.signal(Signal::INT);
    let ended = server.ended();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
}
