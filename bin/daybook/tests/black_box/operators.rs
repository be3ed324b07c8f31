//! An operator sees everyone's things, and changes nobody's.

use serde_json::json;

use crate::support::{Folder, Server};

#[test]
fn an_operator_sees_everything_and_changes_only_tasks() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (ada, boss) = (server.register("ada@example.com"), server.register("boss@example.com"));
    let boss_id = boss.get("/me").expect(200).text("id");
    let account = ada.open_account("Daily", "EUR", &json!("50.00"));
    let order = ada.post_nothing("/orders").written(201).text("order_id");
    let task = ada
        .post("/tasks", &json!({ "kind": "no_such_kind", "payload": 1 }))
        .written(202)
        .text("task_id");
    let paths = [
        format!("/accounts/{account}"),
        format!("/accounts/{account}/entries"),
        format!("/orders/{order}"),
        format!("/orders/{order}/events"),
        format!("/tasks/{task}"),
    ];
    for path in &paths {
        boss.get(path).problem(404);
    }
    assert!(boss.get("/accounts").items().is_empty());
    server.terminate();

    let server = Server::start_with(&folder, &[("DAYBOOK_OPERATORS", &format!(" {boss_id} ,"))]);
    let (ada, boss) =
        (server.client().with_token(ada.token()), server.client().with_token(boss.token()));
    for path in &paths {
        assert_eq!(boss.get(path).expect(200).body, ada.get(path).expect(200).body, "{path}");
    }
    for path in ["/accounts", "/orders", "/tasks"] {
        assert_eq!(boss.get(path).items(), ada.get(path).items(), "{path}");
    }
    // The two registrations, the account, the order and the task.
    assert_eq!(boss.events().len(), 5);
    assert_eq!(ada.events().len(), 4);

    let amount = json!({ "amount": "1.00" });
    boss.post(&format!("/accounts/{account}/withdrawals"), &amount).problem(404);
    boss.patch(&format!("/accounts/{account}"), &json!({ "name": "Mine" })).problem(404);
    boss.delete(&format!("/accounts/{account}")).problem(404);
    boss.post_nothing(&format!("/orders/{order}/pay")).problem(404);
    boss.post_nothing(&format!("/orders/{order}/cancel")).problem(404);
    assert_eq!(ada.balance(&account), "50.00");
}
