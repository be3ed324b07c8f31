//! Connections that are used for more than one request.

use crate::support::{Folder, Server, Wire};

const NEXT: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Who is refused before the body was read finds the connection in order, or is told that it
/// ends: otherwise the next request on it is lost.
#[test]
fn a_refusal_does_not_lose_the_next_request() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let token = server.register("ada@example.com").token().to_owned();
    let body = "x".repeat(1_000);
    for (request, status) in [
        ("POST /orders HTTP/1.1".to_owned(), 401),
        ("POST /nothing HTTP/1.1".to_owned(), 404),
        ("POST /health/live HTTP/1.1".to_owned(), 405),
        (format!("POST /orders?colour=blue HTTP/1.1\r\nAuthorization: Bearer {token}"), 400),
    ] {
        let mut wire = Wire::to(server.address());
        wire.write(&format!(
            "{request}\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        ));
        // The body is late: it comes when the refusal is here.
        let refused = wire.reply();
        assert!(refused.starts_with(&format!("http/1.1 {status} ")), "{refused}");
        if !refused.contains("\r\nconnection: close\r\n") {
            wire.write(&format!("{body}{NEXT}"));
            let next = wire.reply();
            assert!(next.starts_with("http/1.1 200 "), "{status}: {next}");
        }
    }
}

#[test]
fn requests_follow_each_other_on_one_connection() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut wire = Wire::to(server.address());
    for _ in 0..3 {
        wire.write(NEXT);
        assert!(wire.reply().starts_with("http/1.1 200 "));
    }
    // Two at once are answered one after the other.
    wire.write(&NEXT.repeat(2));
    assert!(wire.reply().starts_with("http/1.1 200 "));
    assert!(wire.reply().starts_with("http/1.1 200 "));
}
