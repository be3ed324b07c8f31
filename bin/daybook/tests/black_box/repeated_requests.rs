//! Idempotency keys: one outcome each, given again as it was.

use std::thread;

use serde_json::{Value, json};

use crate::support::{Client, Folder, Reply, Server};

/// Sends the same request twice under one key, and checks that the second reply repeats the first.
#[track_caller]
fn twice(client: &Client, path: &str, key: &str, body: Option<&Value>) -> Reply {
    let send = || {
        let ask = client.ask("POST", path).key(key);
        body.map_or_else(|| client.ask("POST", path).key(key), |body| ask.json(body)).send()
    };
    let (first, second) = (send(), send());
    assert!(!first.is_replayed() && second.is_replayed(), "{path}: {}", second.body);
    assert_eq!((second.status, &second.body), (first.status, &first.body), "{path}");
    assert_eq!(second.header("daybook-position"), first.header("daybook-position"), "{path}");
    first
}

#[test]
fn the_same_key_has_the_same_outcome() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let open = json!({ "name": "Daily", "currency_code": "EUR", "initial_balance": "10.00" });
    let account = twice(&client, "/accounts", "open", Some(&open)).written(201).text("account_id");
    let other = client.open_account("Savings", "EUR", &json!("0"));
    let path = |rest: &str| format!("/accounts/{account}/{rest}");
    let five = json!({ "amount": "5.00" });
    twice(&client, &path("deposits"), "in", Some(&five)).written(201);
    assert_eq!(client.balance(&account), "15.00");
    twice(&client, &path("withdrawals"), "out", Some(&five)).written(201);
    assert_eq!(client.balance(&account), "10.00");
    let transfer = json!({ "from_account_id": account, "to_account_id": other, "amount": "4.00" });
    twice(&client, "/transfers", "over", Some(&transfer)).written(201);
    assert_eq!(client.balance(&account), "6.00");
    let order = json!({ "currency_code": "EUR", "lines": [{ "name": "Tea", "quantity": 1, "unit_price": "2" }] });
    let order = twice(&client, "/orders", "make", Some(&order)).written(201).text("order_id");
    let pay = json!({ "account_id": account });
    twice(&client, &format!("/orders/{order}/pay"), "pay", Some(&pay)).written(204);
    assert_eq!(client.balance(&account), "4.00");
    twice(&client, &format!("/orders/{order}/cancel"), "cancel", None).written(204);
    assert_eq!(client.balance(&account), "6.00");
    let message = json!({ "message": "Hello" });
    twice(&client, "/notifications", "say", Some(&message)).written(202);
    let task = json!({ "kind": "no_such_kind", "payload": 1 });
    twice(&client, "/tasks", "do", Some(&task)).written(202);
    let events = client.events();
    assert_eq!(events.len(), 14, "{events:#?}");
}

#[test]
fn a_refusal_is_an_outcome_too() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("0"));
    let five = json!({ "amount": "5.00" });
    let withdraw = format!("/accounts/{account}/withdrawals");
    twice(&client, &withdraw, "too-early", Some(&five)).problem(409);
    client.post(&format!("/accounts/{account}/deposits"), &five).written(201);
    let again = client.ask("POST", &withdraw).key("too-early").json(&five).send().problem(409);
    assert!(again.is_replayed());
    assert_eq!(client.balance(&account), "5.00");
}

#[test]
fn a_key_belongs_to_one_request_of_one_holder() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let ada = server.register("ada@example.com");
    let open = |name: &str| json!({ "name": name, "currency_code": "EUR" });
    let first = ada.ask("POST", "/accounts").key("k").json(&open("One")).send().written(201);
    let before = ada.events();
    ada.ask("POST", "/accounts").key("k").json(&open("Two")).send().problem(422);
    ada.ask("POST", "/orders").key("k").send().problem(422);
    assert_eq!(ada.events(), before);

    let bob = server.register("bob@example.com");
    let his = bob.ask("POST", "/accounts").key("k").json(&open("Two")).send().written(201);
    assert!(!his.is_replayed());
    assert_ne!(his.body, first.body);
}

#[test]
fn a_key_keeps_its_outcome_across_a_restart() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let first = client.ask("POST", "/orders").key("k").send().written(201);
    server.kill();
    let server = Server::start(&folder);
    let client = client.at(&server.client());
    let again = client.ask("POST", "/orders").key("k").send().written(201);
    assert_eq!(again.body, first.body);
    assert!(again.is_replayed());
    let other = json!({ "currency_code": "EUR", "lines": [{ "name": "Tea", "quantity": 1, "unit_price": "2" }] });
    client.ask("POST", "/orders").key("k").json(&other).send().problem(422);
    assert_eq!(client.get("/orders").expect(200).items().len(), 1);
}

#[test]
fn requests_with_one_key_at_the_same_moment_wait_for_the_first_of_them() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Daily", "EUR", &json!("0"));
    let path = format!("/accounts/{account}/deposits");
    for round in 1_u32..=5 {
        let key = format!("wages-{round}");
        let deposit = |client: &Client| {
            client.ask("POST", &path).key(&key).json(&json!({ "amount": "5.00" })).send()
        };
        let replies: Vec<_> = thread::scope(|scope| {
            let clients: Vec<_> = (0..12).map(|_| client.apart()).collect();
            let asking: Vec<_> =
                clients.into_iter().map(|client| scope.spawn(move || deposit(&client))).collect();
            asking.into_iter().map(|asked| asked.join().unwrap().written(201)).collect()
        });
        let first = replies.iter().filter(|reply| !reply.is_replayed()).count();
        assert_eq!(first, 1, "{replies:#?}");
        assert!(replies.iter().all(|reply| reply.body == replies[0].body), "{replies:#?}");
        assert_eq!(client.balance(&account), format!("{}.00", 5 * round));
    }
}
