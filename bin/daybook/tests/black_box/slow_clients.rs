//! Clients that send or take as slowly as they can, in the ways of slowhttptest, with someone beside them
//! who just wants an answer. `SECURITY_FULL=1` has more of them, for longer, and holds the service to twice
//! the time that an answer takes without them.

use std::env;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Folder, Server, Wire};

/// How many answers are timed.
const ANSWERS: usize = 400;
/// In the short form other tests run beside it, and a debug build answers.
const FLOOR: Duration = Duration::from_millis(250);

fn is_full() -> bool {
    env::var_os("SECURITY_FULL").is_some()
}

/// What a slow client sends, and what it adds now and then.
struct Mode {
    name: &'static str,
    begin: String,
    drip: &'static str,
    /// Whether it reads what it gets.
    reads: bool,
}

fn modes(token: &str) -> [Mode; 5] {
    let post = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n";
    let list =
        format!("GET /tasks?limit=1000 HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n");
    let ranges = (0..1_000).map(|n| format!("{n}-")).collect::<Vec<_>>().join(",");
    [
        Mode {
            name: "slow headers",
            begin: "GET / HTTP/1.1\r\nHost: a\r\n".to_owned(),
            drip: "X: y\r\n",
            reads: true,
        },
        Mode {
            name: "slow body",
            begin: format!(
                "{post}Authorization: Bearer {token}\r\nContent-Length: 100000\r\n\r\n{{"
            ),
            drip: " ",
            reads: true,
        },
        Mode {
            name: "slow chunks",
            begin: format!(
                "{post}Authorization: Bearer {token}\r\nTransfer-Encoding: chunked\r\n\r\n"
            ),
            drip: "1\r\n \r\n",
            reads: true,
        },
        Mode { name: "slow read", begin: format!("{list}\r\n").repeat(20), drip: "", reads: false },
        Mode {
            name: "ranges",
            begin: format!("{list}Range: bytes={ranges}\r\n\r\n"),
            drip: "",
            reads: true,
        },
    ]
}

/// The 99th percentile of how long an answer takes.
fn p99(client: &Client, account: &str) -> Duration {
    let mut times: Vec<_> = (0..ANSWERS)
        .map(|_| {
            let began = Instant::now();
            client.get(&format!("/accounts/{account}")).expect(200);
            let took = began.elapsed();
            if is_full() {
                thread::sleep(Duration::from_millis(10));
            }
            took
        })
        .collect();
    times.sort_unstable();
    times[ANSWERS * 99 / 100]
}

#[test]
fn slow_clients_keep_nobody_else_waiting() {
    let folder = Folder::new();
    let (count, time) = if is_full() {
        (1_000, Duration::from_secs(6))
    } else {
        (100, Duration::from_millis(1_500))
    };
    // Ten times as often as slowhttptest does by itself, and more often where it is short.
    let pause = if is_full() { Duration::from_secs(1) } else { Duration::from_millis(100) };
    let server = Server::start_with(&folder, &[("DAYBOOK_CONNECTIONS", "400")]);
    let eve = server.register("eve@example.com");
    for _ in 0..4 {
        let task = json!({ "kind": "later", "payload": "x".repeat(60_000), "run_at": "2036-01-01T00:00:00Z" });
        eve.post("/tasks", &task).written(202);
    }
    let ada = server.register("ada@example.com");
    let account = ada.open_account("Daily", "EUR", &json!("1"));
    let ada = Client::new([server.address()]).with_token(ada.token());
    let there: IpAddr = [127, 0, 0, 2].into();
    p99(&ada, &account);
    let alone = p99(&ada, &account);
    for mode in modes(eve.token()) {
        let mut wires: Vec<_> = (0..count)
            .map(|_| {
                let mut wire = Wire::between(there, server.address());
                wire.try_write(&mode.begin);
                wire
            })
            .collect();
        let beside = thread::scope(|scope| {
            let slow = scope.spawn(|| {
                let began = Instant::now();
                while began.elapsed() < time {
                    for wire in &mut wires {
                        wire.try_write(mode.drip);
                        if mode.reads {
                            wire.take_a_byte();
                        }
                    }
                    thread::sleep(pause);
                }
            });
            let beside = p99(&ada, &account);
            slow.join().unwrap();
            beside
        });
        println!("{}: {alone:?} alone, {beside:?} beside {count}", mode.name);
        let bound = if is_full() { 2 * alone } else { (2 * alone).max(FLOOR) };
        assert!(beside <= bound, "{}: {alone:?} alone, {beside:?} beside them", mode.name);
        ada.get("/health/ready").expect(200);
    }
}
