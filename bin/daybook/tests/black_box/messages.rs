//! What a caller is told of a body that is wrong: the field, in a sentence.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::{Body, Client, Folder, Server, operations};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// Values of types that a field of this schema is never of.
fn wrong(schema: &Value) -> Vec<&'static str> {
    match schema["type"].as_str() {
        Some("array") => vec!["true", "5", "\"x\"", "{}", "[5]", "[[]]", "[null]"],
        Some("string" | "integer" | "boolean" | "number") => {
            vec!["true", "[]", "{}", "{\"high\":null}", "{\"x\":1}"]
        }
        // Any JSON.
        _ => Vec::new(),
    }
}

/// A body with a right value in every field that has to be there, but for this one.
fn body_with(schema: &Value, wrong_field: &str, value: &str) -> String {
    let required = schema["required"].as_array().into_iter().flatten();
    let mut fields = format!("\"{wrong_field}\":{value}");
    for name in required.map(|name| name.as_str().unwrap()).filter(|name| *name != wrong_field) {
        let right = match schema["properties"][name]["type"].as_str() {
            Some("array") => "[]",
            _ => "\"1\"",
        };
        write!(fields, ",\"{name}\":{right}").unwrap();
    }
    format!("{{{fields}}}")
}

#[test]
fn a_value_of_the_wrong_type_is_refused_by_the_name_of_its_field() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let mut count = 0;
    for operation in operations(&client) {
        let Some(schema) = operation.schema() else { continue };
        for (field, field_schema) in schema["properties"].as_object().unwrap() {
            for value in wrong(field_schema) {
                let body = body_with(schema, field, value);
                let path = operation.path_with(NOTHING);
                let ask = client.ask(&operation.method, &path).body(Body::Json(body.clone()));
                let said = ask.send().problem(400).text("detail");
                let item = said.starts_with("in the list, item 1: ");
                assert!(said.contains(&format!("`{field}`")) || item, "{body}: {said}");
                count += 1;
            }
        }
    }
    assert!(count >= 100, "{count} values");
    for (bad, field) in [
        (r#"{"name":5,"quantity":1,"unit_price":"1"}"#, "name"),
        (r#"{"name":"Tea","quantity":1,"unit_price":[]}"#, "unit_price"),
        (r#"{"name":"Tea","quantity":1,"unit_price":"1","colour":1}"#, "colour"),
        (r#"{"name":"Tea","quantity":1}"#, "unit_price"),
    ] {
        let good = r#"{"name":"Tea","quantity":1,"unit_price":"1"}"#;
        let body = format!(r#"{{"currency_code":"EUR","lines":[{good},{bad}]}}"#);
        let ask = client.ask("POST", "/orders").body(Body::Json(body));
        let said = ask.send().problem(400).text("detail");
        assert!(said.contains("item 2") && said.contains(&format!("`{field}`")), "{said}");
    }
}

/// A body that is wrong in one field.
fn cases() -> Vec<(&'static str, Value)> {
    let long = |count| "x".repeat(count);
    let line = |line: Value| json!({ "currency_code": "EUR", "lines": [line] });
    let order = |name: &str, quantity: Value, unit_price: &str| {
        line(json!({ "name": name, "quantity": quantity, "unit_price": unit_price }))
    };
    let mail = |to: &str, subject: &str, text: &str| json!({ "kind": "send_email", "payload": { "to": to, "subject": subject, "text": text } });
    let text = |field: &str, value: Value| {
        let mut task = json!({ "kind": "text", "payload": "x" });
        task[field] = value;
        task
    };
    let account = |name: &str, currency: &str, balance: Value| json!({ "name": name, "currency_code": currency, "initial_balance": balance });
    let mut cases = vec![
        ("/register", json!({ "email": "no address", "password": "correct horse" })),
        ("/register", json!({ "email": "bob@example.com", "password": "short" })),
        ("/register", json!({ "email": "bob@example.com", "password": long(2_000) })),
        (
            "/register",
            json!({ "email": "bob@example.com", "password": "correct horse", "full_name": "\u{200b}" }),
        ),
        ("/accounts", account("", "EUR", json!("1"))),
        ("/accounts", account("\u{2800}", "EUR", json!("1"))),
        ("/accounts", account("a\nb", "EUR", json!("1"))),
        ("/accounts", account("a\u{2028}b", "EUR", json!("1"))),
        ("/accounts", account("a\u{202e}b", "EUR", json!("1"))),
        ("/accounts", account(&long(101), "EUR", json!("1"))),
        ("/accounts", account("Daily", "EURO", json!("1"))),
        ("/accounts", account("Daily", "HRK", json!("1"))),
        ("/accounts", account("Daily", "EUR", json!("-1"))),
        ("/accounts", account("Daily", "EUR", json!("0.001"))),
        ("/accounts", account("Daily", "EUR", json!("99999999999999999999"))),
        ("/orders", json!({ "currency_code": "EUR" })),
        ("/orders", json!({ "currency_code": "EUR", "lines": [] })),
        ("/orders", json!({ "currency_code": "XAU", "lines": [] })),
        ("/orders", order("", json!(1), "1")),
        ("/orders", order("Tea", json!(0), "1")),
        ("/orders", order("Tea", json!(1.5), "1")),
        ("/orders", order("Tea", json!("1"), "1")),
        ("/orders", order("Tea", json!(1_000_001), "1")),
        ("/orders", order("Tea", json!(1), "-1")),
        ("/orders", order("Tea", json!(1), "0.001")),
        ("/orders", order("Tea", json!(1), "ten")),
        ("/orders", order("Tea", json!(1), "99999999999999999999")),
        ("/orders", order("Tea", json!(2), "92233720368547758.07")),
        ("/orders/{id}/pay", json!({ "account_id": "x" })),
        ("/orders/{id}/pay", json!({})),
        ("/orders/{id}/cancel", json!({ "reason": long(501) })),
        ("/notifications", json!({ "message": "" })),
        ("/notifications", json!({ "message": long(32_769) })),
        ("/notifications", json!({ "message": "Hello", "topic": "a b" })),
        ("/tasks", json!({ "kind": "Send Mail", "payload": 1 })),
        ("/tasks", json!({ "kind": "text", "payload": 5 })),
        ("/tasks", text("payload", json!(long(65_536)))),
        ("/tasks", text("run_at", json!("tomorrow"))),
        ("/tasks", text("priority", json!("urgent"))),
        ("/tasks", text("unique_key", json!("a b"))),
        ("/tasks", text("unique_for", json!("soon"))),
        ("/tasks", mail("nobody", "Hello", "x")),
        ("/tasks", mail("ada@example.com", &long(20_000), "x")),
        ("/tasks", mail("ada@example.com", "a\u{2028}b", "x")),
        ("/tasks", mail("ada@example.com", "Hello", "a\u{0}b")),
        ("/transfers", json!({ "from_account_id": NOTHING, "to_account_id": "x", "amount": "1" })),
        (
            "/transfers",
            json!({ "from_account_id": NOTHING, "to_account_id": NOTHING, "amount": "1" }),
        ),
    ];
    for amount in ["-1", "0", "0.001", "1e2", "1,50", "", "99999999999999999999", "NaN"] {
        cases.push(("/accounts/{id}/deposits", json!({ "amount": amount })));
    }
    cases.push(("/accounts/{id}/deposits", json!({ "amount": "1", "reference": "a\nb" })));
    cases
}

/// What is told of each, a line each: it is read here before it is read by a user.
fn told(client: &Client, account: &str, order: &str) -> String {
    let mut lines = String::new();
    for (path, body) in cases() {
        let id = if path.starts_with("/orders") { order } else { account };
        let reply = client.ask("POST", &path.replace("{id}", id)).json(&body).send();
        let mut shown = body.to_string();
        if shown.chars().count() > 100 {
            shown = shown.chars().take(100).collect::<String>() + "…";
        }
        assert_eq!(reply.status, 400, "{body}: {}", reply.body);
        let detail = reply.problem(400).text("detail");
        writeln!(lines, "{path} {}\n    {detail}", shown.escape_default()).unwrap();
    }
    lines
}

#[test]
fn every_message_reads_as_a_sentence_that_names_the_field() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("10"));
    let order = client.post_nothing("/orders").written(201).text("order_id");
    insta::assert_snapshot!("messages", told(&client, &account, &order));
}
