//! One key, one meaning: another spelling of the same is the same request, and has its outcome; another
//! meaning is refused. For every operation that takes a key.

use std::collections::BTreeSet;

use crate::support::{Body, Client, Folder, Reply, Server, operations};

/// A holder with one of everything.
struct Scene {
    client: Client,
    names: Vec<(&'static str, String)>,
    server: Server,
    _folder: Folder,
}

impl Scene {
    fn set() -> Self {
        let folder = Folder::new();
        let server = Server::start(&folder);
        let client = server.register("ada@example.com");
        let zero = serde_json::json!("100");
        let order = || client.post_nothing("/orders").written(201).text("order_id");
        let task = || {
            let late = serde_json::json!({
                "kind": "text", "payload": "x", "run_at": "2099-01-01T00:00:00Z"
            });
            client.post("/tasks", &late).written(202).text("task_id")
        };
        let names = vec![
            ("{account}", client.open_account("Daily", "EUR", &zero)),
            ("{other}", client.open_account("Other", "EUR", &zero)),
            ("{order}", order()),
            ("{gone}", order()),
            ("{task}", task()),
            ("{late}", task()),
        ];
        Self { client, names, server, _folder: folder }
    }

    fn fill(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (name, id)| text.replace(name, id))
    }

    fn send(&self, path: &str, key: &str, body: &str) -> Reply {
        let body = if body.is_empty() { Body::Absent } else { Body::Json(self.fill(body)) };
        self.client.ask("POST", &self.fill(path)).key(key).body(body).send()
    }
}

/// An operation, bodies of one meaning, and bodies of another.
struct Case {
    path: &'static str,
    same: &'static [&'static str],
    other: &'static [&'static str],
}

const CASES: [Case; 12] = [
    Case {
        path: "/register",
        same: &[
            r#"{"email":"zo@example.com","password":"correct horse"}"#,
            r#" { "password" : "correct horse" , "email" : "zo@example.com" } "#,
            r#"{"email":"\u007ao@example.com","password":"\u0063orrect horse"}"#,
        ],
        other: &[r#"{"email":"zo@example.com","password":"correct horse","full_name":"Zo"}"#],
    },
    Case {
        path: "/accounts",
        same: &[
            r#"{"name":"Küche","currency_code":"EUR","initial_balance":"1"}"#,
            r#"{"initial_balance":1.00,"currency_code":"EUR","name":"K\u00fcche"}"#,
            r#"{ "name":"Küche", "currency_code":"EUR","initial_balance":"1.00"}"#,
        ],
        other: &[
            r#"{"name":"Küche","currency_code":"EUR","initial_balance":"1.01"}"#,
            r#"{"name":"Kuche","currency_code":"EUR","initial_balance":"1"}"#,
            r#"{"name":"Küche","currency_code":"USD","initial_balance":"1"}"#,
        ],
    },
    Case {
        path: "/accounts/{account}/deposits",
        same: &[
            r#"{"amount":"1"}"#,
            r#"{"amount":1}"#,
            r#"{"amount":1.00}"#,
            r#"{"amount":"1.00","reference":null}"#,
        ],
        other: &[r#"{"amount":"1.01"}"#, r#"{"amount":"1","reference":"wages"}"#],
    },
    Case {
        path: "/accounts/{account}/withdrawals",
        same: &[r#"{"amount":"2","reference":"é"}"#, r#"{"reference":"\u00e9","amount":2.0}"#],
        other: &[r#"{"amount":"2"}"#],
    },
    Case {
        path: "/transfers",
        same: &[
            r#"{"from_account_id":"{account}","to_account_id":"{other}","amount":"3"}"#,
            r#"{"amount":3.0,"to_account_id":"{other}","from_account_id":"{account}"}"#,
        ],
        other: &[r#"{"from_account_id":"{other}","to_account_id":"{account}","amount":"3"}"#],
    },
    Case {
        path: "/orders",
        same: &[
            r#"{"currency_code":"EUR","lines":[{"name":"Tea","quantity":1,"unit_price":"2"}]}"#,
            r#"{"lines":[{"unit_price":2.00,"quantity":1.0,"name":"Tea"}],"currency_code":"EUR"}"#,
            r#"{"currency_code":"EUR","lines":[{"name":"T\u0065a","quantity":1e0,"unit_price":2}]}"#,
        ],
        other: &[
            r#"{"currency_code":"EUR","lines":[{"name":"Tea","quantity":2,"unit_price":"2"}]}"#,
            r#"{"currency_code":"EUR","lines":[{"name":"Tea","quantity":1,"unit_price":"3"}]}"#,
            "",
        ],
    },
    Case {
        path: "/orders/{order}/pay",
        same: &["", ""],
        other: &[r#"{"account_id":"{account}"}"#],
    },
    Case {
        path: "/orders/{gone}/cancel",
        same: &[r#"{"reason":"Ä"}"#, r#"{ "reason" : "\u00c4" }"#],
        other: &["", r#"{"reason":"A"}"#],
    },
    Case {
        path: "/notifications",
        same: &[r#"{"message":"ü"}"#, r#"{ "message":"\u00fc", "topic":null }"#],
        other: &[r#"{"message":"u"}"#, r#"{"message":"ü","topic":"news"}"#],
    },
    Case {
        path: "/tasks",
        same: &[
            r#"{"kind":"odd","payload":{"a":1,"b":[1.0,"ü"]}}"#,
            r#"{"payload":{"b":[1,"\u00fc"],"a":1.00},"kind":"odd"}"#,
            r#"{"kind":"odd","payload":{"a":1,"b":[1,"ü"]},"priority":null,"unique_key":null}"#,
        ],
        other: &[
            r#"{"kind":"odd","payload":{"a":1,"b":["ü",1]}}"#,
            r#"{"kind":"odd","payload":{"a":1,"b":[1.0,"ü"]},"priority":"high"}"#,
        ],
    },
    Case { path: "/tasks/{task}/retry", same: &["", ""], other: &[] },
    Case { path: "/tasks/{late}/discard", same: &["", ""], other: &[] },
];

#[test]
fn another_spelling_of_the_same_is_the_same_request() {
    let scene = Scene::set();
    for (number, case) in CASES.iter().enumerate() {
        let key = format!("key-{number}");
        let (first, rest) = case.same.split_first().unwrap();
        let first = scene.send(case.path, &key, first);
        assert!((200..300).contains(&first.status), "{}: {}", case.path, first.body);
        assert!(!first.is_replayed(), "{}", case.path);
        let before = scene.client.events();
        for body in rest {
            let again = scene.send(case.path, &key, body);
            assert_eq!(again.status, first.status, "{body}");
            // Each reply to a registration has a token of its own.
            assert!(case.path == "/register" || again.body == first.body, "{body}");
            assert!(again.is_replayed(), "{body}");
            assert_eq!(again.header("daybook-position"), first.header("daybook-position"));
        }
        for body in case.other {
            scene.send(case.path, &key, body).problem(422);
        }
        assert_eq!(scene.client.events(), before, "{}", case.path);
    }
}

#[test]
fn every_operation_that_takes_a_key_is_among_the_cases() {
    let scene = Scene::set();
    let shape = |path: &str| {
        let hole = |part: &str| if part.starts_with('{') { "{}".into() } else { part.to_owned() };
        path.split('/').map(hole).collect::<Vec<_>>().join("/")
    };
    let cases: BTreeSet<_> = CASES.iter().map(|case| shape(case.path)).collect();
    let takes: BTreeSet<_> = operations(&scene.client)
        .iter()
        .filter(|operation| operation.parameters().iter().any(|p| p.name == "Idempotency-Key"))
        .map(|operation| shape(&operation.path))
        .collect();
    assert_eq!(takes, cases);
}

#[test]
fn what_can_never_be_right_is_not_remembered_and_what_is_refused_is() {
    let scene = Scene::set();
    for (number, case) in CASES.iter().enumerate() {
        let (good, key) = (case.same[0], format!("key-{number}"));
        let open = good.trim_end().strip_suffix('}');
        let Some(open) = open else { continue };
        for bad in ["{", &format!("{open},\"colour\":1}}"), &good.replacen(":\"", ":[\"", 1)] {
            scene.send(case.path, &key, bad).problem(400);
        }
        let taken = scene.send(case.path, &key, good);
        assert!((200..300).contains(&taken.status) && !taken.is_replayed(), "{}", taken.body);
    }
    let too_much = r#"{"amount":"1000000"}"#;
    let refused = scene.send("/accounts/{account}/withdrawals", "much", too_much).problem(409);
    let again = scene.send("/accounts/{account}/withdrawals", "much", r#"{"amount":1e6}"#);
    let again = again.problem(409);
    assert!(again.is_replayed());
    assert_eq!(again.text("type"), refused.text("type"));
}

#[test]
fn two_strangers_with_one_key_are_two_requests() {
    let scene = Scene::set();
    let nobody = scene.server.client();
    let register = |email: &str| {
        let body = serde_json::json!({ "email": email, "password": "correct horse" });
        nobody.ask("POST", "/register").key("1").json(&body).send().expect(201)
    };
    let (one, other) = (register("one@example.com"), register("other@example.com"));
    assert!(!one.is_replayed() && !other.is_replayed());
    let who = |reply: &Reply| nobody.with_token(&reply.text("token")).get("/me").text("email");
    assert_eq!((who(&one), who(&other)), ("one@example.com".into(), "other@example.com".into()));
    let again = register("one@example.com");
    assert!(again.is_replayed());
    assert_eq!(who(&again), "one@example.com");
}
