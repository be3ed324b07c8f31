//! Requests that two readers could read in two ways, and heads that are none: each is answered by a
//! problem document, and ends its connection.

use serde_json::Value;

use crate::support::{Folder, Server, Wire};

/// A request that would be answered, if it came to that.
const NEXT: &str = "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[track_caller]
fn refused(server: &Server, request: &str, status: u16) {
    let mut wire = Wire::to(server.address());
    wire.write(request);
    wire.write(NEXT);
    let all = wire.rest();
    let shown: String = request.chars().take(200).collect();
    let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with(&format!("http/1.1 {status} ")), "{shown:?}: {all}");
    for line in
        ["content-type: application/problem+json", "cache-control: no-store", "connection: close"]
    {
        assert!(head.lines().any(|one| one == line), "{shown:?}: {line}: {all}");
    }
    assert!(head.contains("\r\nx-request-id: "), "{shown:?}: {all}");
    // One document, and nothing behind it.
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["status"], status, "{shown:?}");
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_ends_its_connection() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let post = "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json";
    for framing in [
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\nX: a\r\n\r\n{}",
        "Content-Length: 2\r\n\n{}",
    ] {
        refused(&server, &format!("{post}\r\n{framing}"), 400);
    }
    for head in [
        "GET /health/live HTTP/1.1\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: eve@a\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a:port\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost:\r\n\r\n",
        "GET /health/live HTTP/1.1\nHost: a\n\n",
        "GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /health/live\r\n\r\n",
        "G@T /health/live HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /health/live HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
        "\r\n\r\n\r\n",
        "nonsense\r\n\r\n",
    ] {
        refused(&server, head, 400);
    }
    for version in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTTP/3.0\r\nHost: a\r\n\r\n"] {
        refused(&server, version, 505);
    }
}

#[test]
fn a_head_is_bounded_to_the_byte() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let head = |bytes: usize| {
        let begin = "GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Pad: ";
        format!("{begin}{}\r\n\r\n", "a".repeat(bytes - begin.len() - 4))
    };
    let most = 32 * 1024;
    let mut wire = Wire::to(server.address());
    wire.write(&head(most));
    assert!(wire.reply().starts_with("http/1.1 200 "));
    for bytes in [most + 1, 40 * 1024, 200 * 1024] {
        refused(&server, &head(bytes), 431);
    }
    let lines = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: a\r\n".repeat(200));
    refused(&server, &lines, 431);
}

#[test]
fn what_is_in_order_is_answered_on_one_connection() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut wire = Wire::to(server.address());
    let chunked = "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n";
    let absolute = "GET http://elsewhere/health/live HTTP/1.1\r\nHost: [::1]:80\r\n\r\n";
    for (request, status) in [
        (NEXT, 200),
        (chunked, 400),
        ("\r\nGET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 200),
        (absolute, 200),
        (NEXT, 200),
    ] {
        wire.write(request);
        let reply = wire.reply();
        assert!(reply.starts_with(&format!("http/1.1 {status} ")), "{request}: {reply}");
        assert!(!reply.contains("connection: close"), "{request}: {reply}");
    }
    wire.write("GET /health/live HTTP/1.0\r\n\r\n");
    assert!(wire.reply().contains(" 200 "));
}

/// Chunks that can't be read are a body that can't be read.
#[test]
fn a_broken_chunk_is_a_problem() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let head = "POST /login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                Transfer-Encoding: chunked\r\n\r\n";
    for body in ["2\n{}\n0\n\n", "2 \r\n{}\r\n0\r\n\r\n", "zz\r\n{}\r\n0\r\n\r\n"] {
        let mut wire = Wire::to(server.address());
        wire.write(&format!("{head}{body}{NEXT}"));
        let all = wire.rest();
        assert!(all.starts_with("HTTP/1.1 400 "), "{body:?}: {all}");
        assert!(all.contains("application/problem+json"), "{body:?}: {all}");
        assert!(!all.contains("HTTP/1.1 200"), "{body:?}: {all}");
    }
}
