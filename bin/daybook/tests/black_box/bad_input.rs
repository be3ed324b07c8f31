//! Input that is refused: by a problem document of the right status, and without any effect.

use serde_json::{Value, json};

use crate::support::{Body, Client, Folder, Reply, Server};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";
/// The most bytes a body may have.
const LIMIT: usize = 400 * 1024;

/// A holder with one of everything, and the server they are at.
struct Scene {
    client: Client,
    account: String,
    yen: String,
    order: String,
    priced: String,
    before: Vec<String>,
    _server: Server,
    _folder: Folder,
}

impl Scene {
    fn set() -> Self {
        let folder = Folder::new();
        let server = Server::start(&folder);
        let client = server.register("ada@example.com");
        let account = client.open_account("Daily", "EUR", &json!("10.00"));
        let yen = client.open_account("Travel", "JPY", &json!(500));
        let order = client.post_nothing("/orders").written(201).text("order_id");
        let line = json!({ "name": "Tea", "quantity": 2, "unit_price": "7.50" });
        let priced = json!({ "currency_code": "EUR", "lines": [line] });
        let priced = client.post("/orders", &priced).written(201).text("order_id");
        let before = everything(&client, &account);
        Self { client, account, yen, order, priced, before, _server: server, _folder: folder }
    }

    /// Puts ids of the scene in the place of their names.
    fn fill(&self, text: &str) -> String {
        text.replace("{account}", &self.account)
            .replace("{yen}", &self.yen)
            .replace("{order}", &self.order)
            .replace("{priced}", &self.priced)
            .replace("{nothing}", NOTHING)
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: Body) -> Reply {
        self.client.ask(method, &self.fill(path)).body(body).send()
    }

    #[track_caller]
    fn refuses(&self, method: &str, path: &str, body: &str, status: u16) -> Reply {
        let body = if body.is_empty() { Body::Absent } else { Body::Json(self.fill(body)) };
        self.ask(method, path, body).problem(status)
    }

    #[track_caller]
    fn assert_unchanged(&self) {
        assert_eq!(everything(&self.client, &self.account), self.before);
    }
}

fn everything(client: &Client, account: &str) -> Vec<String> {
    ["/events", "/me", "/accounts", "/orders", "/tasks", &format!("/accounts/{account}/entries")]
        .map(|path| client.get(path).expect(200).body)
        .to_vec()
}

/// Every route that takes a body, with one that it would take.
const BODIES: [(&str, &str, &str); 12] = [
    ("POST", "/register", r#"{"email":"bob@example.com","password":"correct horse"}"#),
    ("POST", "/login", r#"{"email":"bob@example.com","password":"correct horse"}"#),
    ("POST", "/accounts", r#"{"name":"New","currency_code":"EUR"}"#),
    ("PATCH", "/accounts/{account}", r#"{"name":"New"}"#),
    ("POST", "/accounts/{account}/deposits", r#"{"amount":"1"}"#),
    ("POST", "/accounts/{account}/withdrawals", r#"{"amount":"1"}"#),
    (
        "POST",
        "/transfers",
        r#"{"from_account_id":"{account}","to_account_id":"{nothing}","amount":"1"}"#,
    ),
    (
        "POST",
        "/orders",
        r#"{"currency_code":"EUR","lines":[{"name":"Tea","quantity":1,"unit_price":"1"}]}"#,
    ),
    ("POST", "/orders/{order}/pay", r#"{"account_id":"{account}"}"#),
    ("POST", "/orders/{order}/cancel", r#"{"reason":"Why not"}"#),
    ("POST", "/notifications", r#"{"message":"Hello"}"#),
    ("POST", "/tasks", r#"{"kind":"no_such_kind","payload":1}"#),
];

#[test]
fn a_body_is_json_of_the_right_shape() {
    let scene = Scene::set();
    for (method, path, good) in BODIES {
        let open = good.strip_suffix('}').unwrap();
        for bad in [
            "{",
            "null",
            "[]",
            "\"text\"",
            "5",
            "{\"\u{0}\":1}",
            &format!("{open},\"surprise\":1}}"),
            &format!("{good}{good}"),
            &format!("{good},"),
        ] {
            scene.refuses(method, path, bad, 400);
        }
        let text = Body::Of("text/plain", scene.fill(good).into());
        scene.ask(method, path, text).problem(415);
        let latin = Body::Of("application/json", b"{\"\xe9\":1}".to_vec());
        scene.ask(method, path, latin).problem(400);
    }
    scene.assert_unchanged();
}

#[test]
fn a_body_is_an_object_and_not_a_list_of_its_values() {
    let scene = Scene::set();
    for (method, path, bad) in [
        ("POST", "/register", r#"["bob@example.com","correct horse",null]"#),
        ("POST", "/accounts", r#"["New","EUR",null]"#),
        ("PATCH", "/accounts/{account}", r#"["New"]"#),
        ("POST", "/accounts/{account}/deposits", r#"["1",null]"#),
        ("POST", "/accounts/{account}/withdrawals", r#"["1",null]"#),
        ("POST", "/orders", r#"["EUR",[["Tea",1,"1"]]]"#),
        ("POST", "/orders", r#"{"currency_code":"EUR","lines":[["Tea",1,"1"]]}"#),
        ("POST", "/orders/{order}/pay", "[null]"),
        ("POST", "/orders/{order}/cancel", r#"["Why not"]"#),
        ("POST", "/notifications", r#"["Hello",null]"#),
        ("POST", "/tasks", r#"["no_such_kind",1,null]"#),
    ] {
        scene.refuses(method, path, bad, 400);
    }
    scene.assert_unchanged();
}

#[test]
fn a_deeply_nested_body_harms_nobody() {
    let scene = Scene::set();
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    let name = format!(r#"{{"name":{deep},"currency_code":"EUR"}}"#);
    scene.refuses("POST", "/accounts", &name, 400);
    let lines = format!(r#"{{"currency_code":"EUR","lines":{deep}}}"#);
    scene.refuses("POST", "/orders", &lines, 400);
    let task = format!(r#"{{"kind":"no_such_kind","payload":{deep}}}"#);
    let taken = scene.ask("POST", "/tasks", Body::Json(task));
    assert_eq!(taken.status, 400, "{taken:?}");
    scene.ask("GET", "/tasks", Body::Absent).expect(200);
    scene.ask("GET", "/events", Body::Absent).expect(200);
}

/// JSON with blanks behind it, so that it has this many bytes.
fn padded(json: &str, length: usize) -> String {
    json.to_owned() + &" ".repeat(length - json.len())
}

#[test]
fn a_body_has_400_kib_at_most() {
    let scene = Scene::set();
    for (method, path, good) in BODIES {
        let large = padded(&scene.fill(good), LIMIT + 1);
        for body in [Body::Json(large.clone()), Body::Chunked(large)] {
            let client = scene.client.apart();
            client.ask(method, &scene.fill(path)).body(body).send().problem(413);
        }
    }
    // A client that sends on and on may find the connection closed before it reads the answer.
    let endless = Body::Chunked("x".repeat(32 * LIMIT));
    if let Ok(reply) = scene.client.apart().ask("POST", "/notifications").body(endless).try_send() {
        reply.problem(413);
    }
    scene.assert_unchanged();

    let full = padded(r#"{"message":"Hello"}"#, LIMIT);
    scene.ask("POST", "/notifications", Body::Json(full.clone())).written(202);
    scene.ask("POST", "/notifications", Body::Chunked(full)).written(202);
}

#[test]
fn a_value_has_the_right_type_and_range() {
    let scene = Scene::set();
    let long = |count| "x".repeat(count);
    for (path, bodies) in [
        (
            "/accounts",
            vec![
                json!({ "name": 5, "currency_code": "EUR" }),
                json!({ "name": "", "currency_code": "EUR" }),
                json!({ "name": " ", "currency_code": "EUR" }),
                json!({ "name": "a\nb", "currency_code": "EUR" }),
                json!({ "name": long(101), "currency_code": "EUR" }),
                json!({ "name": null, "currency_code": "EUR" }),
                json!({ "name": "New", "currency_code": "EURO" }),
                json!({ "name": "New", "currency_code": "ZZZ" }),
                json!({ "name": "New", "currency_code": "XAU" }),
                json!({ "name": "New", "currency_code": "€" }),
                json!({ "name": "New", "currency_code": 978 }),
                json!({ "name": "New" }),
            ],
        ),
        (
            "/transfers",
            vec![
                json!({ "from_account_id": "{account}", "to_account_id": "x", "amount": "1" }),
                json!({ "from_account_id": "{account}", "to_account_id": 5, "amount": "1" }),
                json!({ "from_account_id": "{account}", "to_account_id": "{account}", "amount": "1" }),
                json!({ "from_account_id": "{account}", "amount": "1" }),
            ],
        ),
        (
            "/orders",
            vec![
                json!({ "currency_code": "EUR", "lines": [] }),
                json!({ "currency_code": "EUR" }),
                json!({ "lines": [{ "name": "Tea", "quantity": 1, "unit_price": "1" }] }),
                line(&json!({ "name": "", "quantity": 1, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": 0, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": -1, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": 1.5, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": "1", "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": 1_000_001, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": 5_000_000_000_u64, "unit_price": "1" })),
                line(&json!({ "name": "Tea", "quantity": 1, "unit_price": "-1" })),
                line(&json!({ "name": "Tea", "quantity": 1, "unit_price": "0.001" })),
                line(
                    &json!({ "name": "Tea", "quantity": 2, "unit_price": "92233720368547758.07" }),
                ),
                line(
                    &json!({ "name": "Tea", "quantity": 1, "unit_price": "1", "colour": "green" }),
                ),
                line(&json!({ "name": "Tea", "quantity": 1 })),
            ],
        ),
        ("/orders/{order}/pay", vec![json!({ "account_id": "x" }), json!({ "account_id": 5 })]),
        ("/orders/{order}/cancel", vec![json!({ "reason": 5 }), json!({ "reason": long(501) })]),
        (
            "/notifications",
            vec![
                json!({ "message": "" }),
                json!({ "message": 5 }),
                json!({ "message": long(32_769) }),
                json!({ "message": "Hello", "topic": "a b" }),
                json!({ "message": "Hello", "topic": "" }),
            ],
        ),
        (
            "/tasks",
            vec![
                json!({ "kind": "Send Mail", "payload": 1 }),
                json!({ "kind": "", "payload": 1 }),
                json!({ "kind": "text", "payload": 5 }),
                json!({ "kind": "text" }),
                json!({ "kind": "text", "payload": "x", "run_at": "tomorrow" }),
                json!({ "kind": "text", "payload": "x", "run_at": 5 }),
            ],
        ),
    ] {
        for body in bodies {
            scene.refuses("POST", path, &body.to_string(), 400);
        }
    }
    for body in [json!({ "name": 5 }), json!({ "name": "" }), json!({ "currency_code": "USD" })] {
        scene.refuses("PATCH", "/accounts/{account}", &body.to_string(), 400);
    }
    scene.assert_unchanged();
}

fn line(line: &Value) -> Value {
    json!({ "currency_code": "EUR", "lines": [line] })
}

#[test]
fn an_amount_is_exact_positive_and_of_its_currency() {
    let scene = Scene::set();
    let never = [
        r#""-1""#,
        "-1",
        "-0.01",
        "0",
        r#""0.00""#,
        r#""0.001""#,
        "0.001",
        "1e-3",
        r#""1e2""#,
        r#""1,50""#,
        r#""€1""#,
        r#""""#,
        r#"" 1""#,
        r#""+1""#,
        r#"".5""#,
        r#""5.""#,
        r#""NaN""#,
        r#""∞""#,
        "1e30",
        "1e999999999",
        r#""92233720368547758.08""#,
        "99999999999999999999999",
        "true",
        "null",
        "[]",
        "{}",
        r#""0x10""#,
        r#""１""#,
    ];
    for amount in never {
        let body = format!(r#"{{"amount":{amount}}}"#);
        scene.refuses("POST", "/accounts/{account}/deposits", &body, 400);
        scene.refuses("POST", "/accounts/{account}/withdrawals", &body, 400);
        let transfer = format!(
            r#"{{"from_account_id":"{{account}}","to_account_id":"{{yen}}","amount":{amount}}}"#
        );
        scene.refuses("POST", "/transfers", &transfer, 400);
    }
    scene.refuses("POST", "/accounts/{yen}/deposits", r#"{"amount":"0.5"}"#, 400);
    for initial in [r#""-1""#, "-0.01", r#""0.001""#, "true", "1e30"] {
        let body = format!(r#"{{"name":"New","currency_code":"EUR","initial_balance":{initial}}}"#);
        scene.refuses("POST", "/accounts", &body, 400);
    }
    scene.assert_unchanged();
}

#[test]
fn a_rule_of_the_present_state_refuses_with_409() {
    let scene = Scene::set();
    let refuses = |path: &str, body: &str| scene.refuses("POST", path, body, 409).text("type");
    let too_much = refuses("/accounts/{account}/withdrawals", r#"{"amount":"10.01"}"#);
    let over = r#"{"from_account_id":"{account}","to_account_id":"{yen}","amount":"1"}"#;
    let currencies = refuses("/transfers", over);
    assert_eq!(refuses("/orders/{priced}/pay", r#"{"account_id":"{account}"}"#), too_much);
    assert_eq!(refuses("/orders/{priced}/pay", r#"{"account_id":"{yen}"}"#), currencies);
    let full = refuses("/accounts/{account}/deposits", r#"{"amount":"92233720368547758.07"}"#);
    let kinds = [&too_much, &currencies, &full];
    assert!(
        kinds.iter().all(|kind| kinds.iter().filter(|other| other == &kind).count() == 1),
        "{kinds:?}"
    );
    scene.assert_unchanged();
}

#[test]
fn what_is_not_there_is_not_found() {
    let scene = Scene::set();
    for id in ["x", NOTHING, "1", "%00", "..", "01900000000070008000000000000000"] {
        for (method, path) in [
            ("GET", "/accounts/{id}"),
            ("DELETE", "/accounts/{id}"),
            ("GET", "/accounts/{id}/entries"),
            ("GET", "/orders/{id}"),
            ("POST", "/orders/{id}/pay"),
            ("POST", "/orders/{id}/cancel"),
            ("GET", "/orders/{id}/events"),
            ("GET", "/tasks/{id}"),
            ("POST", "/tasks/{id}/retry"),
        ] {
            scene.refuses(method, &path.replace("{id}", id), "", 404);
        }
        scene.refuses("PATCH", &format!("/accounts/{id}"), r#"{"name":"New"}"#, 404);
        scene.refuses("POST", &format!("/accounts/{id}/deposits"), r#"{"amount":"1"}"#, 404);
    }
    let transfer = r#"{"from_account_id":"{account}","to_account_id":"{nothing}","amount":"1"}"#;
    scene.refuses("POST", "/transfers", transfer, 404);
    scene.refuses("POST", "/orders/{order}/pay", r#"{"account_id":"{nothing}"}"#, 404);
    for path in
        ["/nothing", "/accounts/{account}/nothing", "/orders/{order}/pay/twice", "//accounts"]
    {
        scene.refuses("GET", path, "", 404);
    }
    scene.assert_unchanged();
}

#[test]
fn a_query_parameter_is_known_and_in_its_range() {
    let scene = Scene::set();
    let lists = [
        "/accounts",
        "/accounts/{account}/entries",
        "/orders",
        "/orders/{order}/events",
        "/events",
        "/tasks",
    ];
    for path in lists {
        for query in [
            "limit=0",
            "limit=1001",
            "limit=%FF",
            "limit=abc",
            "limit=",
            "limit=-1",
            "limit=1.5",
            "colour=blue",
        ] {
            scene.refuses("GET", &format!("{path}?{query}"), "", 400);
        }
        scene.ask("GET", &format!("{path}?limit=1000"), Body::Absent).expect(200);
        scene.ask("GET", &format!("{path}?limit=1"), Body::Absent).expect(200);
    }
    for path in ["/events", "/orders/{order}/events", "/events/stream"] {
        for after in ["-1", "x", "", "1.5", "99999999999999999999"] {
            scene.refuses("GET", &format!("{path}?after={after}"), "", 400);
        }
    }
    for path in [
        "/accounts?cursor=!",
        "/orders?cursor=x",
        "/accounts/{account}/entries?cursor=",
        "/tasks?cursor=%00",
    ] {
        scene.refuses("GET", path, "", 400);
    }
    for path in [
        "/orders?status=LOST",
        "/tasks?state=lost",
        "/me?colour=blue",
        "/accounts/{account}?colour=blue",
    ] {
        scene.refuses("GET", path, "", 400);
    }
    scene.refuses("GET", "/notifications/stream?topic=a%20b", "", 400);
    for id in ["x", "-1", "1.5"] {
        for path in ["/events/stream", "/notifications/stream"] {
            scene.client.ask("GET", path).header("Last-Event-ID", id).send().problem(400);
        }
    }
    scene.assert_unchanged();
}

#[test]
fn an_idempotency_key_is_short_and_visible() {
    let scene = Scene::set();
    for key in ["", "two words", &"k".repeat(256)] {
        scene.client.ask("POST", "/orders").key(key).send().problem(400);
    }
    scene.assert_unchanged();
}

#[test]
fn a_route_says_which_methods_it_takes() {
    let scene = Scene::set();
    for (method, path, allowed) in [
        ("DELETE", "/accounts", ["GET", "POST"].as_slice()),
        ("PUT", "/accounts/{account}", &["DELETE", "GET", "PATCH"]),
        ("GET", "/register", &["POST"]),
        ("GET", "/login", &["POST"]),
        ("POST", "/me", &["GET"]),
        ("GET", "/orders/{order}/pay", &["POST"]),
        ("POST", "/events", &["GET"]),
        ("DELETE", "/orders/{order}", &["GET"]),
        ("GET", "/transfers", &["POST"]),
        ("PUT", "/tasks", &["GET", "POST"]),
    ] {
        let refused = scene.refuses(method, path, "", 405);
        let mut allow: Vec<_> = refused.header("allow").unwrap_or_default().split(", ").collect();
        allow.retain(|method| !matches!(*method, "HEAD" | "OPTIONS"));
        allow.sort_unstable();
        assert_eq!(allow, allowed, "{method} {path}");
    }
    scene.assert_unchanged();
}
