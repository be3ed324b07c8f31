//! From registering to a cancelled order whose money came back, with the events read along, and all of it found again.

use serde_json::{Value, json};

use crate::support::{Client, Folder, Server};

/// The members of each object, as text where they are text.
fn column(rows: &[Value], member: &str) -> Vec<String> {
    rows.iter().map(|row| row[member].as_str().unwrap_or_default().to_owned()).collect()
}

struct Scene {
    client: Client,
    daily: String,
    savings: String,
    order: String,
}

/// Two accounts with money, and an order of 20.75 that can be paid.
fn set_the_scene(server: &Server) -> Scene {
    let client = server.register("ada@example.com");
    let daily = client.open_account("Daily", "EUR", &json!(0.1));
    let savings = client.open_account("Savings", "EUR", &json!("20.00"));
    let deposit = json!({ "amount": "100.00", "reference": "Salary" });
    let deposit = client.post(&format!("/accounts/{daily}/deposits"), &deposit).written(201);
    assert_eq!(deposit.members(), ["entry_id", "balance", "available"]);
    assert_eq!(
        (deposit.text("balance"), deposit.text("available")),
        ("100.10".into(), "100.10".into())
    );
    let transfer = json!({ "from_account_id": daily, "to_account_id": savings, "amount": 30.05 });
    let transfer = client.post("/transfers", &transfer).written(201);
    assert_eq!(transfer.members(), ["transfer_id"]);
    assert_eq!(client.balance(&daily), "70.05");
    assert_eq!(client.balance(&savings), "50.05");
    let order = json!({ "currency_code": "EUR", "lines": [
        { "name": "Tea", "quantity": 3, "unit_price": "4.50" },
        { "name": "Cup", "quantity": 1, "unit_price": 7.25 },
    ] });
    let order = client.post("/orders", &order).written(201).text("order_id");
    Scene { client, daily, savings, order }
}

#[test]
fn an_order_is_paid_from_an_account_and_cancelled_with_its_events_read_along() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("early@example.com");
    let live = client.listen("/events/stream", None);
    let account = client.open_account("Daily", "EUR", &json!("70.05"));
    let lines = json!([{ "name": "Tea", "quantity": 3, "unit_price": "4.50" },
        { "name": "Cup", "quantity": 1, "unit_price": 7.25 }]);
    let order = json!({ "currency_code": "EUR", "lines": lines });
    let order = client.post("/orders", &order).written(201);
    let path = format!("/orders/{}", order.text("order_id"));
    let shown = client.get(&path).expect(200).json();
    assert_eq!(shown["total"], "20.75");
    assert_eq!(shown["currency_code"], "EUR");
    assert_eq!(shown["lines"][1], json!({ "name": "Cup", "quantity": 1, "unit_price": "7.25" }));

    let paid = client.post(&format!("{path}/pay"), &json!({ "account_id": account })).written(204);
    assert_eq!(client.balance(&account), "49.30");
    let shown = client.get(&path).expect(200).json();
    assert_eq!((&shown["status"], &shown["account_id"]), (&json!("PAID"), &json!(account)));

    let reason = json!({ "reason": "Changed my mind" });
    let canceled = client.post(&format!("{path}/cancel"), &reason).written(204);
    assert_eq!(client.balance(&account), "70.05");
    assert_eq!(client.get(&path).expect(200).text("status"), "CANCELED");

    let events = client.events();
    for (name, at_most) in [
        ("OrderCreated", order.position()),
        ("OrderPaid", paid.position()),
        ("OrderCanceled", canceled.position()),
    ] {
        let heard = live.next_of(&["OrderCreated", "OrderPaid", "OrderCanceled"]);
        assert_eq!(heard.event, name);
        let event = events.iter().find(|event| event["type"] == name).unwrap();
        assert_eq!(&heard.json(), event);
        assert_eq!(heard.id, event["position"].to_string());
        assert!(event["position"].as_u64().unwrap() <= at_most);
        assert_eq!(event["stream"], format!("order-{}", order.text("order_id")));
    }
    // Whoever comes back goes on where they were; whoever asks for what is not there yet is told.
    let first = client.listen("/events/stream?after=0", None);
    assert_eq!(first.next().json(), events[0]);
    let second = client.listen("/events/stream", Some("1"));
    assert_eq!(second.next().json(), events[1]);
    assert_eq!(client.listen("/events/stream", Some("999999")).next_of(&["reset"]).event, "reset");
}

#[test]
fn a_statement_shows_every_change_with_the_balance_after_it() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let Scene { client, daily, savings, order } = set_the_scene(&server);
    client.post(&format!("/orders/{order}/pay"), &json!({ "account_id": daily })).written(204);
    client.post_nothing(&format!("/orders/{order}/cancel")).written(204);
    let withdrawal = json!({ "amount": "0.05" });
    client.post(&format!("/accounts/{savings}/withdrawals"), &withdrawal).written(201);

    let path = format!("/accounts/{daily}/entries");
    let (statement, _) = client.pages(&path);
    let types = [
        "OrderRefundCredited",
        "OrderPaymentDebited",
        "TransferSent",
        "MoneyDeposited",
        "AccountOpened",
    ];
    assert_eq!(column(&statement, "type"), types);
    assert_eq!(column(&statement, "amount"), ["20.75", "-20.75", "-30.05", "100.00", "0.10"]);
    assert_eq!(column(&statement, "balance"), ["70.05", "49.30", "70.05", "100.10", "0.10"]);
    assert_eq!(column(&statement, "reference"), ["", "", "", "Salary", ""]);
    assert_eq!(column(&statement, "order_id"), [&*order, &*order, "", "", ""]);
    let members = &client.get(&path).expect(200).members_of_items()[4];
    assert_eq!(members[..6], ["entry_id", "position", "type", "amount", "balance", "timestamp"]);
    assert_eq!(client.pages(&format!("{path}?limit=2")), (statement, 3));

    let (other_side, _) = client.pages(&format!("/accounts/{savings}/entries"));
    assert_eq!(column(&other_side, "amount"), ["-0.05", "30.05", "20.00"]);
    assert_eq!(column(&other_side, "balance"), ["50.00", "50.05", "20.00"]);
}

#[test]
fn lists_come_in_pages() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let Scene { client, .. } = set_the_scene(&server);
    for _ in 0..4 {
        client.post_nothing("/orders").written(201);
    }
    client.open_account("Third", "USD", &json!("0"));
    for path in ["/events", "/orders", "/accounts"] {
        let (whole, _) = client.pages(&format!("{path}?limit=1000"));
        let (paged, count) = client.pages(&format!("{path}?limit=2"));
        assert_eq!(paged, whole, "{path}");
        assert!(count >= whole.len().div_ceil(2), "{path}: {count}");
    }
    let positions: Vec<_> =
        client.events().iter().map(|e| e["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=positions.len() as u64).collect::<Vec<_>>());
}

#[test]
fn a_notification_reaches_who_listens_and_who_comes_back() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let publish = |message: &str| {
        let reply = client.post("/notifications", &json!({ "message": message })).written(202);
        assert_eq!(reply.members(), ["position"]);
        reply.json()["position"].to_string()
    };
    let live = client.listen("/notifications/stream", None);
    let elsewhere = client.listen("/notifications/stream?topic=elsewhere", None);
    let first = publish("one");
    let heard = live.next();
    assert_eq!((&heard.id, heard.json()["message"].as_str()), (&first, Some("one")));
    assert_eq!(heard.json()["topic"], "notifications");
    assert!(heard.json()["timestamp"].is_string());
    drop(live);

    let missed = [publish("two"), publish("three")];
    let other = json!({ "message": "aside", "topic": "elsewhere" });
    client.post("/notifications", &other).written(202);
    let back = client.listen("/notifications/stream", Some(&first));
    let fourth = publish("four");
    let heard: Vec<_> = (0..3).map(|_| back.next()).collect();
    let ids: Vec<_> = heard.iter().map(|message| message.id.as_str()).collect();
    assert_eq!(ids, [&*missed[0], &*missed[1], &*fourth]);
    assert_eq!(elsewhere.next().json()["message"], "aside");
}

#[test]
fn everything_is_found_again_after_a_restart() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let Scene { client, daily, savings, order } = set_the_scene(&server);
    client.post(&format!("/orders/{order}/pay"), &json!({ "account_id": daily })).written(204);
    client.post("/notifications", &json!({ "message": "before" })).written(202);
    let everything = |client: &Client| {
        [
            "/me".to_owned(),
            "/accounts".to_owned(),
            format!("/accounts/{daily}"),
            format!("/accounts/{daily}/entries"),
            "/orders".to_owned(),
            format!("/orders/{order}"),
            "/events".to_owned(),
        ]
        .map(|path| client.get(&path).expect(200).body)
    };
    let before = everything(&client);

    // Someone still listens; the end does not wait for them.
    let open = client.listen("/events/stream", None);
    let ended = server.terminate();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    open.until_its_end();

    let server = Server::start(&folder);
    let client = client.at(&server.client());
    assert_eq!(everything(&client), before);
    client.post_nothing(&format!("/orders/{order}/cancel")).written(204);
    assert_eq!(client.balance(&daily), "70.05");
    client.delete(&format!("/accounts/{savings}")).written(204);
    client.get(&format!("/accounts/{savings}")).problem(404);
    client.get(&format!("/accounts/{savings}/entries")).problem(404);
}
