//! The routes that clients knew before Daybook, byte for byte where they could tell.

use serde_json::{Value, json};

use crate::support::{Body, Client, Folder, Server};

const NO_SUCH: &str = "01900000-0000-7000-8000-000000000000";

/// The names stand in this order; others may stand between or behind them.
#[track_caller]
fn assert_in_order(members: &[String], names: &[&str]) {
    let found: Vec<_> = members.iter().map(String::as_str).filter(|m| names.contains(m)).collect();
    assert_eq!(found, names, "{members:?}");
}

fn ada(server: &Server) -> Client {
    server.register("ada@example.com")
}

#[test]
fn registering_and_logging_in_give_a_token() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.client();

    let ada = json!({ "email": "ada@example.com", "password": "correct horse" });
    let registered = client.post("/register", &ada).written(201);
    assert_eq!(registered.members(), ["token"]);
    client.post("/register", &ada).problem(409);
    for (email, password) in [("ada", "correct horse"), ("bob@example.com", "1234567"), ("", "")] {
        client.post("/register", &json!({ "email": email, "password": password })).problem(400);
    }
    client.post("/register", &json!({ "email": "bob@example.com" })).problem(400);
    client.post("/register", &json!({ "password": "correct horse" })).problem(400);

    let logged_in = client.post("/login", &ada).expect(200);
    assert_eq!(logged_in.members(), ["token"]);
    let me = client.with_token(&logged_in.text("token")).get("/me").expect(200);
    assert_eq!(me.text("email"), "ada@example.com");
    client.post("/login", &json!({ "email": "ada@example.com" })).problem(400);
    let wrong = json!({ "email": "ada@example.com", "password": "battery staple" });
    let wrong = client.post("/login", &wrong).problem(401);
    let unknown = json!({ "email": "bob@example.com", "password": "battery staple" });
    assert_eq!(client.post("/login", &unknown).problem(401).body, wrong.body);
}

#[test]
fn me_is_who_the_token_names() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let me = ada(&server).get("/me").expect(200);
    assert_eq!(me.members(), ["id", "email", "full_name", "created_at"]);
    assert_eq!(me.text("email"), "ada@example.com");
    assert_eq!(me.text("full_name"), "Ada Lovelace");

    // A name is nobody's duty: left out, empty or null.
    let client = server.client();
    for (name, email) in
        [(json!({}), "a@example.com"), (json!(""), "b@example.com"), (json!(null), "c@example.com")]
    {
        let mut body = json!({ "email": email, "password": "correct horse" });
        if !name.is_object() {
            body["full_name"] = name;
        }
        let token = client.post("/register", &body).expect(201).text("token");
        assert_eq!(client.with_token(&token).get("/me").expect(200).text("full_name"), "");
    }
}

#[test]
fn accounts_are_opened_read_renamed_and_deleted() {
    const FIELDS: [&str; 5] = ["id", "name", "currency_code", "initial_balance", "created_at"];
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = ada(&server);
    assert_eq!(client.get("/accounts").expect(200).body, "[]");

    let body =
        Body::Json(r#"{"name":"Daily","currency_code":"EUR","initial_balance":0.1}"#.to_owned());
    let opened = client.ask("POST", "/accounts").body(body).send().written(201);
    assert_eq!(opened.members(), ["account_id"]);
    let path = format!("/accounts/{}", opened.text("account_id"));
    client.post("/accounts", &json!({ "name": "Empty", "currency_code": "JPY" })).written(201);
    client.post("/accounts", &json!({ "name": "Lost", "currency_code": "ZZZ" })).problem(400);
    client.post("/accounts", &json!({ "currency_code": "EUR" })).problem(400);

    let account = client.get(&path).expect(200);
    assert_eq!(account.members()[..5], FIELDS);
    let json = account.json();
    assert_eq!(json["initial_balance"], "0.10");
    assert_eq!(json["balance"], "0.10");
    assert_eq!(json["available"], "0.10");
    let list = client.get("/accounts").expect(200);
    assert!(list.members_of_items().iter().all(|members| members[..5] == FIELDS), "{}", list.body);
    let names: Vec<_> = list.items().iter().map(|account| account["name"].clone()).collect();
    assert_eq!(names, ["Daily", "Empty"]);
    assert_eq!(list.items()[0], json);
    assert_eq!(list.items()[1]["initial_balance"], "0");

    // It was read, so it is in the cache; what was written since is seen all the same.
    client.patch(&path, &json!({ "name": "Every day" })).written(204);
    assert_eq!(client.get(&path).expect(200).text("name"), "Every day");
    client.patch(&path, &json!({ "currency_code": "USD" })).problem(400);
    client.patch(&path, &json!({ "initial_balance": "5.00" })).problem(400);
    client.patch(&path, &json!({ "name": "" })).problem(400);

    client.delete(&path).written(204);
    client.get(&path).problem(404);
    client.patch(&path, &json!({ "name": "Again" })).problem(404);
    client.delete(&path).problem(404);
    assert_eq!(client.get("/accounts").expect(200).items().len(), 1);
    client.get(&format!("/accounts/{NO_SUCH}")).problem(404);
}

#[test]
fn orders_are_created_paid_and_cancelled_without_a_body() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = ada(&server);
    let head = client.events().len();
    assert_eq!(client.get(&format!("/events?after={head}")).expect(200).body, "[]");

    let created = client.post_nothing("/orders").written(201);
    assert_eq!(created.members(), ["order_id"]);
    let id = created.text("order_id");
    let path = format!("/orders/{id}");
    let status = |path: &str| {
        let order = client.get(path).expect(200);
        assert_eq!(order.members()[..2], ["id", "status"]);
        order.text("status")
    };
    assert_eq!(status(&path), "PENDING");
    client.post_nothing(&format!("{path}/pay")).written(204);
    assert_eq!(status(&path), "PAID");
    client.post_nothing(&format!("{path}/pay")).problem(409);
    client.post_nothing(&format!("{path}/cancel")).written(204);
    assert_eq!(status(&path), "CANCELED");
    client.post_nothing(&format!("{path}/pay")).problem(409);
    client.post_nothing(&format!("{path}/cancel")).problem(409);

    let log = client.get(&format!("/events?after={head}")).expect(200);
    for members in log.members_of_items() {
        assert_in_order(&members, &["type", "order_id", "timestamp", "data"]);
    }
    let types: Vec<_> = log.items().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["OrderCreated", "OrderPaid", "OrderCanceled"]);
    assert!(log.items().iter().all(|event| event["order_id"].as_str() == Some(&*id)));
    assert_eq!(client.get(&format!("{path}/events")).expect(200).body, log.body);

    // An empty body with its length announced is no body either.
    let empty = client.ask("POST", "/orders").body(Body::Json(String::new())).send().written(201);
    assert_eq!(status(&format!("/orders/{}", empty.text("order_id"))), "PENDING");
}

#[test]
fn an_unknown_order_is_not_found_and_leaves_no_event() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = ada(&server);
    let before = client.events();
    client.get(&format!("/orders/{NO_SUCH}")).problem(404);
    client.get(&format!("/orders/{NO_SUCH}/events")).problem(404);
    client.post_nothing(&format!("/orders/{NO_SUCH}/pay")).problem(404);
    client.post_nothing(&format!("/orders/{NO_SUCH}/cancel")).problem(404);
    assert_eq!(client.events(), before);
    assert_eq!(client.get("/orders").expect(200).body, "[]");
}

#[test]
fn health_and_documentation_ask_for_no_token() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.client();
    client.get("/health/live").expect(200);
    client.get("/health/ready").expect(200);
    let document = client.get("/openapi.json").expect(200).json();
    assert!(document["paths"]["/orders/{id}/pay"]["post"].is_object(), "{document}");
    let docs = client.get("/docs").expect(200);
    assert!(docs.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let printed = folder.start(&["openapi"]).ended();
    assert!(printed.status.success(), "{printed:?}");
    assert_eq!(serde_json::from_str::<Value>(&printed.stdout).unwrap(), document);
}
