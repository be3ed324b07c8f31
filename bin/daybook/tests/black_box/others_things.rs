//! Another's thing and nothing look the same.

use serde_json::{Value, json};

use crate::support::{Client, Folder, Reply, Server};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// All of a reply that a caller can see, but for the time of day.
fn seen(reply: &Reply) -> (u16, String, Vec<&str>) {
    (reply.status, reply.body.clone(), reply.header_names())
}

#[track_caller]
fn assert_alike(client: &Client, method: &str, path: &str, body: Option<&Value>, theirs: &str) {
    let ask = |id: &str| {
        let ask = client.ask(method, &path.replace("{id}", id));
        match body {
            Some(body) => {
                let body = body.to_string().replace("{id}", id);
                ask.json(&serde_json::from_str(&body).unwrap()).send()
            }
            None => ask.send(),
        }
    };
    let (other, nothing) = (ask(theirs).problem(404), ask(NOTHING).problem(404));
    assert_eq!(seen(&other), seen(&nothing), "{method} {path}");
}

#[test]
fn what_is_anothers_is_as_if_it_were_not_there() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ada = server.register("ada@example.com");
    let account = ada.open_account("Daily", "EUR", &json!("50.00"));
    let order = json!({ "currency_code": "EUR", "lines": [{ "name": "Tea", "quantity": 1, "unit_price": "5" }] });
    let order = ada.post("/orders", &order).written(201).text("order_id");
    let task = json!({ "kind": "no_such_kind", "payload": null });
    let task = ada.post("/tasks", &task).written(202).text("task_id");
    let savings = ada.open_account("Savings", "EUR", &json!("0"));
    let transfer =
        json!({ "from_account_id": account, "to_account_id": savings, "amount": "1.00" });
    let transfer = ada.post("/transfers", &transfer).written(201).text("transfer_id");
    ada.get(&format!("/transfers/{transfer}")).expect(200);
    // A cached thing is nobody else's either.
    ada.get(&format!("/accounts/{account}")).expect(200);
    ada.get(&format!("/orders/{order}")).expect(200);
    let before = ada.events();

    let bob = server.register("bob@example.com");
    let mine = bob.open_account("Mine", "EUR", &json!("50.00"));
    let my_order = bob.post_nothing("/orders").written(201).text("order_id");
    let amount = json!({ "amount": "1.00" });
    let name = json!({ "name": "Stolen" });
    let from = json!({ "from_account_id": "{id}", "to_account_id": mine, "amount": "1.00" });
    let to = json!({ "from_account_id": mine, "to_account_id": "{id}", "amount": "1.00" });
    let pay = json!({ "account_id": "{id}" });
    for (method, path, body, theirs) in [
        ("GET", "/accounts/{id}", None, &account),
        ("PATCH", "/accounts/{id}", Some(&name), &account),
        ("DELETE", "/accounts/{id}", None, &account),
        ("POST", "/accounts/{id}/deposits", Some(&amount), &account),
        ("POST", "/accounts/{id}/withdrawals", Some(&amount), &account),
        ("GET", "/accounts/{id}/entries", None, &account),
        ("GET", "/transfers/{id}", None, &transfer),
        ("POST", "/transfers", Some(&from), &account),
        ("POST", "/transfers", Some(&to), &account),
        ("POST", &*format!("/orders/{my_order}/pay"), Some(&pay), &account),
        ("GET", "/orders/{id}", None, &order),
        ("GET", "/orders/{id}/events", None, &order),
        ("POST", "/orders/{id}/pay", None, &order),
        ("POST", "/orders/{id}/cancel", None, &order),
        ("GET", "/tasks/{id}", None, &task),
        ("POST", "/tasks/{id}/retry", None, &task),
    ] {
        assert_alike(&bob, method, path, body, theirs);
    }

    assert_eq!(bob.get("/accounts").expect(200).items().len(), 1);
    assert_eq!(bob.get("/tasks").expect(200).body, "[]");
    let own: Vec<_> = bob.events().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(own, ["HolderRegistered", "AccountOpened", "OrderCreated"]);
    assert_eq!(ada.events(), before);
    assert_eq!(ada.balance(&account), "49.00");
}
