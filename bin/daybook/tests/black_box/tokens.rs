//! Who may ask: tokens, good and bad.

use std::fs;

use jsonwebtoken::{EncodingKey, dangerous, decode_header, encode};
use serde_json::Value;

use crate::support::{Body, Folder, Server};

const SOMETHING: &str = "01900000-0000-7000-8000-000000000000";

const GUARDED: [(&str, &str); 26] = [
    ("GET", "/me"),
    ("GET", "/accounts"),
    ("POST", "/accounts"),
    ("GET", "/accounts/{id}"),
    ("PATCH", "/accounts/{id}"),
    ("DELETE", "/accounts/{id}"),
    ("POST", "/accounts/{id}/deposits"),
    ("POST", "/accounts/{id}/withdrawals"),
    ("GET", "/accounts/{id}/entries"),
    ("POST", "/transfers"),
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", "/orders/{id}"),
    ("POST", "/orders/{id}/pay"),
    ("POST", "/orders/{id}/cancel"),
    ("GET", "/orders/{id}/events"),
    ("GET", "/events"),
    ("GET", "/events?limit=none"),
    ("GET", "/events/stream"),
    ("POST", "/notifications"),
    ("GET", "/notifications/stream"),
    ("POST", "/tasks"),
    ("GET", "/tasks"),
    ("GET", "/tasks/{id}"),
    ("POST", "/tasks/{id}/retry"),
    ("GET", "/accounts/not-an-id"),
];

#[test]
fn without_a_token_nothing_else_is_looked_at() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    for (method, path) in GUARDED {
        let client = server.client();
        let mut ask = client.ask(method, &path.replace("{id}", SOMETHING));
        if matches!(method, "POST" | "PATCH") {
            ask = ask.body(Body::Json("{ not json".to_owned()));
        }
        let refused = ask.send().problem(401);
        let challenge = refused.header("www-authenticate").unwrap_or_default().to_owned();
        assert!(challenge.starts_with("Bearer"), "{method} {path}: {challenge}");
    }
}

#[test]
fn a_token_is_what_this_server_signed_and_not_too_long_ago() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let good = client.token();
    let header = decode_header(good).unwrap();
    let claims = dangerous::insecure_decode::<Value>(good).unwrap().claims;
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!(lifetime, 24 * 60 * 60);

    let key = EncodingKey::from_secret(fs::read(folder.file("daybook.key")).unwrap().trim_ascii());
    let with = |changes: &[(&str, i64)], key: &EncodingKey| {
        let mut claims = claims.clone();
        for (name, by) in changes {
            claims[name] = (claims[name].as_i64().unwrap() + by).into();
        }
        encode(&header, &claims, key).unwrap()
    };
    // What is signed here is as good as what the server signed …
    client.with_token(&with(&[], &key)).get("/me").expect(200);
    // … so it is for these reasons that the others are refused.
    let two_days = -2 * 24 * 60 * 60;
    let expired = with(&[("exp", two_days), ("iat", two_days)], &key);
    let foreign = with(&[], &EncodingKey::from_secret(&[7; 32]));
    let (head, signature) = good.rsplit_once('.').unwrap();
    let unsigned = format!("{head}.");
    let (first, payload) = head.split_once('.').unwrap();
    // {"alg":"none","typ":"JWT"}
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let swapped = format!("{payload}.{first}.{signature}");
    for bad in [&*expired, &*foreign, &*unsigned, &*none, &*swapped, "x", "a.b.c", ""] {
        let refused = client.with_token(bad).get("/me").problem(401);
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"), "{bad}");
    }
    for authorization in ["Basic YWRhOnB3", "Bearer", good] {
        let ask = server.client().ask("GET", "/me").header("Authorization", authorization).send();
        ask.problem(401);
    }
}

#[test]
fn the_log_says_nothing_about_people() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_LOG", "debug")]);
    let client = server.register("ada@example.com");
    client.get("/me").expect(200);
    client.post(
        "/login",
        &serde_json::json!({ "email": "ada@example.com", "password": "wrong one" }),
    );
    let token = client.token().to_owned();
    let ended = server.terminate();
    for secret in ["ada@example.com", "Ada Lovelace", "correct horse", "wrong one", &token] {
        assert!(!ended.stderr.contains(secret), "the log has {secret}");
        assert!(!ended.stdout.contains(secret), "the output has {secret}");
    }
}

#[test]
fn who_asks_too_often_is_told_to_wait_and_others_are_not() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_HOLDER_RATE", "1")]);
    let (ada, bob) = (server.register("ada@example.com"), server.register("bob@example.com"));
    let refused = (0..100).map(|_| ada.get("/me")).find(|reply| reply.status != 200);
    let refused = refused.unwrap().problem(429);
    let pause: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(pause > 0);
    bob.get("/me").expect(200);
}
