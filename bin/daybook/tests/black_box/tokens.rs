//! Who may ask: tokens, good and bad.

use serde_json::{Value, json};

use crate::support::{Body, Folder, Forged, Server};

const SOMETHING: &str = "01900000-0000-7000-8000-000000000000";

const GUARDED: [(&str, &str); 28] = [
    ("POST", "/logout"),
    ("POST", "/me/password"),
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
fn a_token_is_what_this_server_signed_for_a_session_that_goes_on() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let good = client.token();
    let forged = Forged::from(good, &folder);
    let (iat, exp) = (forged.number("iat"), forged.number("exp"));
    assert_eq!(exp - iat, 24 * 60 * 60);
    // What is signed here is as good as what the server signed …
    client.with_token(&forged.token()).get("/me").expect(200);
    // … so it is for these reasons that the others are refused.
    let two_days = 2 * 24 * 60 * 60;
    let nobody = json!(SOMETHING);
    for other in [
        forged.claim("iat", json!(iat - two_days)).claim("exp", json!(exp - two_days)),
        forged.claim("iat", json!(iat + 3_600)),
        forged.claim("nbf", json!(iat + 3_600)),
        forged.claim("exp", json!(1_000_000_000_000_000_000_i64)),
        forged.claim("exp", json!(exp + 1)),
        forged.claim("exp", Value::Null),
        forged.claim("iat", Value::Null),
        forged.claim("jti", Value::Null),
        forged.claim("iss", json!("elsewhere")),
        // A holder who does not exist, and who would open an account.
        forged.claim("sub", nobody.clone()),
        forged.claim("sub", nobody).claim("jti", json!(SOMETHING)),
        forged.claim("credentials", json!(2)),
        forged.header("typ", json!("at+jwt")),
        forged.header("typ", Value::Null),
        forged.header("crit", json!(["b64"])),
        forged.header("alg", json!("none")),
        forged.header("alg", json!("HS512")),
        Forged { key: vec![7; 32], ..forged.clone() },
    ] {
        let with = client.with_token(&other.token());
        with.get("/me").problem(401);
        with.post("/accounts", &json!({ "name": "A", "currency_code": "EUR" })).problem(401);
    }
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (first, payload) = head.split_once('.').unwrap();
    let (unsigned, swapped) = (format!("{head}."), format!("{payload}.{first}.{signature}"));
    for bad in [&*unsigned, &*swapped, "x", "a.b.c", ""] {
        let refused = client.with_token(bad).get("/me").problem(401);
        assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"), "{bad}");
        assert_eq!(refused.header("cache-control"), Some("no-store"));
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
