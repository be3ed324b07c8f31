//! Texts that show nothing, hold more than a line, or turn what follows: refused wherever a line of
//! text is taken. And currencies that are no longer in use.

use serde_json::{Value, json};

use crate::support::{Folder, Server};

/// What no line of text may be.
const ODD: [&str; 12] = [
    "\u{200b}",
    "\u{feff}",
    "\u{2800}",
    "\u{3164}",
    "\u{301}",
    "\u{e0061}",
    "a\u{2028}b",
    "a\u{2029}b",
    "a\u{85}b",
    "\u{202e}cba",
    "a\u{2067}b",
    "a\nb",
];

/// Makes a body with this text in one of its fields.
type BodyWith<'a> = &'a dyn Fn(&str) -> Value;

#[test]
fn a_text_that_is_no_line_is_refused_wherever_one_is_taken() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("10.00"));
    let other = client.open_account("می\u{200c}خواهم", "EUR", &json!("10.00"));
    let order = client.post_nothing("/orders").written(201).text("order_id");
    let before = client.events().len();
    let routes: [(&str, String, BodyWith<'_>); 11] = [
        (
            "POST",
            "/register".to_owned(),
            &|odd| json!({ "email": "bob@example.com", "password": "correct horse", "full_name": odd }),
        ),
        (
            "POST",
            "/register".to_owned(),
            &|odd| json!({ "email": format!("{odd}bob@example.com"), "password": "correct horse" }),
        ),
        ("POST", "/accounts".to_owned(), &|odd| json!({ "name": odd, "currency_code": "EUR" })),
        ("PATCH", format!("/accounts/{account}"), &|odd| json!({ "name": odd })),
        (
            "POST",
            format!("/accounts/{account}/deposits"),
            &|odd| json!({ "amount": 1, "reference": odd }),
        ),
        (
            "POST",
            format!("/accounts/{account}/withdrawals"),
            &|odd| json!({ "amount": 1, "reference": odd }),
        ),
        (
            "POST",
            "/transfers".to_owned(),
            &|odd| json!({ "from_account_id": account, "to_account_id": other, "amount": 1, "reference": odd }),
        ),
        (
            "POST",
            "/orders".to_owned(),
            &|odd| json!({ "currency_code": "EUR", "lines": [{ "name": odd, "quantity": 1, "unit_price": 1 }] }),
        ),
        ("POST", format!("/orders/{order}/cancel"), &|odd| json!({ "reason": odd })),
        (
            "POST",
            "/tasks".to_owned(),
            &|odd| json!({ "kind": "send_email", "payload": { "to": "ada@example.com", "subject": odd } }),
        ),
        (
            "POST",
            "/tasks".to_owned(),
            &|odd| json!({ "kind": "text", "payload": "x", "unique_key": odd }),
        ),
    ];
    for (method, path, body) in &routes {
        for odd in ODD {
            client.ask(method, path).json(&body(odd)).send().problem(400);
        }
    }
    assert_eq!(client.events().len(), before);
    client.get(&format!("/accounts/{other}")).expect(200);
}

#[test]
fn nothing_new_is_kept_in_a_currency_that_was_withdrawn() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    for code in ["HRK", "SLL", "ZWL", "CUC", "BGN", "ANG", "EEK", "XXX"] {
        let account = json!({ "name": "Old", "currency_code": code });
        client.post("/accounts", &account).problem(400);
        let line = json!({ "name": "Tea", "quantity": 1, "unit_price": 1 });
        client.post("/orders", &json!({ "currency_code": code, "lines": [line] })).problem(400);
    }
    for code in ["SLE", "ZWG", "CUP", "XCG", "VED", "VES"] {
        client.open_account("New", code, &json!(1));
    }
}
