//! Registering and logging in while others guess, flood and look for an oracle. Where requests come from
//! is what a trusted proxy says of it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Client, Folder, Reply, Server, eventually};

const PASSWORD: &str = "correct horse battery";
const HERE: &str = "192.0.2.1";
const ELSEWHERE: &str = "192.0.2.2";

fn start(folder: &Folder) -> Server {
    Server::start_with(folder, &[("DAYBOOK_TRUSTED_PROXIES", "127.0.0.1")])
}

fn credentials(email: &str, password: &str) -> Value {
    json!({ "email": email, "password": password })
}

fn log_in(client: &Client, from: &str, email: &str, password: &str) -> Reply {
    let ask = client.ask("POST", "/login").header("X-Forwarded-For", from);
    ask.json(&credentials(email, password)).send()
}

fn register(client: &Client, from: &str, key: &str, email: &str, password: &str) -> Reply {
    let ask = client.ask("POST", "/register").header("X-Forwarded-For", from).key(key);
    ask.json(&credentials(email, password)).send()
}

/// Tries until it is told to wait, by each instance that there may be.
#[track_caller]
fn until_limited(mut attempt: impl FnMut() -> Reply, wrong: u16) -> Reply {
    for _ in 0..40 {
        let reply = attempt();
        if reply.status == 429 {
            return reply.problem(429);
        }
        reply.problem(wrong);
    }
    panic!("it was never told to wait");
}

#[test]
fn whoever_guesses_waits_as_long_as_they_are_told_and_the_owner_does_not() {
    let folder = Folder::new();
    let server = start(&folder);
    server.register("ada@example.com");
    let client = server.client();
    let guess = || log_in(&client, HERE, "Ada@example.com", "not the password");
    let told = until_limited(guess, 401);
    assert_eq!(told.text("type"), "urn:daybook:problem:rate-limited");
    let wait: u64 = told.header("retry-after").unwrap().parse().unwrap();
    // Not even the right password is looked at meanwhile; from elsewhere it is.
    log_in(&client, ELSEWHERE, "ada@example.com", PASSWORD).expect(200);
    thread::sleep(Duration::from_secs(wait));
    // It was true: and what comes after it is longer.
    let told = until_limited(guess, 401);
    let longer: u64 = told.header("retry-after").unwrap().parse().unwrap();
    assert!(longer > wait, "{wait}, then {longer}");
    // Other accounts have nothing to do with it.
    log_in(&client, HERE, "bob@example.com", "not the password").problem(401);
    log_in(&client, ELSEWHERE, "ada@example.com", PASSWORD).expect(200);
}

#[test]
fn what_is_repeated_under_a_key_tells_no_more_of_a_password_than_logging_in() {
    let folder = Folder::new();
    let server = start(&folder);
    let client = server.client();
    let with = |from: &str, key: &str, password: &str| {
        register(&client, from, key, "ada@example.com", password)
    };
    let first = with(HERE, "known", PASSWORD).written(201);
    let again = with(HERE, "known", PASSWORD).written(201);
    assert!(again.is_replayed());
    assert_ne!(again.text("token"), first.text("token"));
    // Who knows the key and not the password learns what anyone does who knows neither.
    let wrong = with(ELSEWHERE, "known", "battery staple horse").problem(409);
    let stranger = with(ELSEWHERE, "another", "battery staple horse").problem(409);
    assert_eq!((&wrong.body, wrong.is_replayed()), (&stranger.body, stranger.is_replayed()));
    // And tries no more often than by logging in: the two count together.
    until_limited(|| with(ELSEWHERE, "known", "battery staple horse"), 409);
    let limited = || log_in(&client, ELSEWHERE, "ada@example.com", PASSWORD).status == 429;
    eventually("logging in is limited, too", || limited().then_some(()));
    with(HERE, "known", PASSWORD).written(201);
}

#[test]
fn a_flood_of_log_ins_from_one_place_keeps_nobody_else_out() {
    let folder = Folder::new();
    let server = start(&folder);
    server.register("ada@example.com");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for number in 0..24 {
            let (client, over) = (server.client().apart(), &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let email = format!("nobody{number}@example.com");
                    log_in(&client, HERE, &email, "not the password");
                }
            });
        }
        thread::sleep(Duration::from_millis(500));
        let client = server.client();
        let times: Vec<_> = (0..8)
            .map(|_| {
                let began = Instant::now();
                let reply = log_in(&client, ELSEWHERE, "ada@example.com", PASSWORD);
                (reply.status, began.elapsed())
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        for (status, took) in &times {
            assert!(*status == 200 && *took < Duration::from_secs(2), "{times:?}");
        }
    });
}

#[test]
fn weak_passwords_are_refused_and_the_form_of_good_ones_does_not_matter() {
    let folder = Folder::new();
    let server = start(&folder);
    let client = server.client();
    let invisible = "\u{200b}".repeat(8);
    for weak in ["password", "aaaaaaaa", "12345678", &invisible, "eve@example.com", "        "] {
        let refused = client.post("/register", &credentials("eve@example.com", weak)).problem(400);
        let detail = refused.text("detail");
        assert!(detail.starts_with("password: "), "{detail}");
        assert!(weak == "password" || !detail.contains(weak), "{detail}");
    }
    let (composed, decomposed) = ("caf\u{e9} cr\u{e8}me", "cafe\u{301} cre\u{300}me");
    client.post("/register", &credentials("zoe@example.com", composed)).expect(201);
    for same in [composed, decomposed, "\u{ff43}af\u{e9}\u{3000}cr\u{e8}me"] {
        log_in(&client, HERE, "zoe@example.com", same).expect(200);
    }
    log_in(&client, HERE, "zoe@example.com", "cafe creme").problem(401);
}

#[test]
fn log_ins_leave_a_trace_that_says_who_from_where_and_how_it_ended() {
    let folder = Folder::new();
    let server = start(&folder);
    let ada = server.register("ada.private@example.com");
    let id = ada.get("/me").expect(200).text("id");
    log_in(&ada, HERE, "ada.private@example.com", PASSWORD).expect(200);
    log_in(&ada, HERE, "ada.private@example.com", "battery staple").problem(401);
    log_in(&ada, ELSEWHERE, "nobody.private@example.com", "battery staple").problem(401);
    until_limited(|| log_in(&ada, HERE, "ada.private@example.com", "battery staple"), 401);
    let metrics = eventually("all of it is counted", || {
        let texts: String = (0..4).map(|_| ada.get("/metrics").expect(200).body).collect();
        let limited = "daybook_audited_acts_total{act=\"log_in\",outcome=\"limited\"} 1";
        texts.contains(limited).then_some(texts)
    });
    assert!(metrics.contains("daybook_audited_acts_total{act=\"log_in\",outcome=\"accepted\"} 1"));
    let log = server.terminate().stderr;
    let noted = |who: &str, from: &str, outcome: &str| {
        log.lines().any(|line| {
            line.contains("log_in") && [who, from, outcome].iter().all(|part| line.contains(part))
        })
    };
    assert!(noted(&id, HERE, "accepted"), "{log}");
    assert!(noted(&id, HERE, "refused"), "{log}");
    assert!(noted("unknown", ELSEWHERE, "refused"), "{log}");
    for secret in ["private", "battery staple", PASSWORD, ada.token()] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}
