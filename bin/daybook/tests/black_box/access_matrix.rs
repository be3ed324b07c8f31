//! Who may do what: every operation that the API's document has stands in the matrix, and is tried as
//! nobody, as the holder, as another holder and as an operator.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Body, Client, Folder, Forged, Operation, Reply, Server, operations};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// Whose the things of an operation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It asks for no token.
    Public,
    /// It asks for a token, and is about what is the caller's own.
    Own,
    /// It is about one thing, which others don't see; an operator does.
    Seen,
    /// It is about one thing, which its holder alone can change.
    Changed,
    /// It is about one thing, which an operator can change as well.
    Managed,
}

use Access::{Changed, Managed, Own, Public, Seen};

/// A new operation without a row fails, and so does a row without an operation.
const MATRIX: [(&str, Access); 32] = [
    ("POST /register", Public),
    ("POST /login", Public),
    ("POST /logout", Own),
    ("GET /me", Own),
    ("POST /me/password", Own),
    ("GET /accounts", Own),
    ("POST /accounts", Own),
    ("GET /accounts/{id}", Seen),
    ("PATCH /accounts/{id}", Changed),
    ("DELETE /accounts/{id}", Changed),
    ("POST /accounts/{id}/deposits", Changed),
    ("POST /accounts/{id}/withdrawals", Changed),
    ("GET /accounts/{id}/entries", Seen),
    ("POST /transfers", Own),
    ("GET /transfers/{id}", Seen),
    ("GET /orders", Own),
    ("POST /orders", Own),
    ("GET /orders/{id}", Seen),
    ("GET /orders/{id}/events", Seen),
    ("POST /orders/{id}/pay", Changed),
    ("POST /orders/{id}/cancel", Changed),
    ("GET /events", Own),
    ("GET /events/stream", Own),
    ("POST /notifications", Own),
    ("GET /notifications/stream", Own),
    ("POST /tasks", Own),
    ("GET /tasks", Own),
    ("GET /tasks/{id}", Seen),
    ("POST /tasks/{id}/retry", Managed),
    ("POST /tasks/{id}/discard", Managed),
    ("GET /health/live", Public),
    ("GET /health/ready", Public),
];

/// Bodies that are right, by the end of the path.
fn body(operation: &Operation) -> Option<Value> {
    let name = operation.path.rsplit('/').next().unwrap();
    Some(match (operation.method.as_str(), name) {
        ("PATCH", _) => json!({ "name": "Other" }),
        ("POST", "deposits" | "withdrawals") => json!({ "amount": "1.00" }),
        _ => return None,
    })
}

fn ask(client: &Client, operation: &Operation, id: &str) -> Reply {
    let ask = client.ask(&operation.method, &operation.path_with(id));
    match body(operation) {
        Some(body) => ask.json(&body).send(),
        None => ask.send(),
    }
}

/// What a caller sees of a reply.
fn seen(reply: &Reply) -> (u16, &str, Vec<&str>) {
    (reply.status, &reply.body, reply.header_names())
}

/// A holder's things, by the first part of the path to one.
fn things(client: &Client) -> BTreeMap<&'static str, String> {
    let account = client.open_account("Daily", "EUR", &json!("50.00"));
    let other = client.open_account("Savings", "EUR", &json!("0"));
    let moved = json!({ "from_account_id": account, "to_account_id": other, "amount": "1.00" });
    let transfer = client.post("/transfers", &moved).written(201).text("transfer_id");
    let order = client.post_nothing("/orders").written(201).text("order_id");
    let later = json!({ "kind": "later", "payload": 1, "run_at": "2036-01-01T00:00:00Z" });
    let task = client.post("/tasks", &later).written(202).text("task_id");
    [("accounts", account), ("transfers", transfer), ("orders", order), ("tasks", task)].into()
}

#[test]
fn every_operation_has_a_row_and_every_row_an_operation() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let mut known: Vec<_> = operations(&server.client()).iter().map(Operation::title).collect();
    let mut rows: Vec<_> = MATRIX.iter().map(|(title, _)| (*title).to_owned()).collect();
    known.sort();
    rows.sort();
    assert_eq!(rows, known);
}

#[test]
fn nobody_gets_what_they_may_not_have() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let boss = server.register("boss@example.com");
    let boss_id = boss.get("/me").expect(200).text("id");
    server.terminate();
    let server = Server::start_with(&folder, &[("DAYBOOK_OPERATORS", &boss_id)]);
    let at = server.client();
    let boss = at.with_token(boss.token());
    let (ada, eve) = (server.register("ada@example.com"), server.register("eve@example.com"));
    let things = things(&ada);
    let forged = Forged::from(ada.token(), &folder);
    let foreign = Forged { key: vec![7; 32], ..forged.clone() }.token();
    let expired = forged.number("iat") - 2 * 24 * 60 * 60;
    let expired = forged.claim("iat", json!(expired)).claim("exp", json!(expired + 60)).token();
    let rows: BTreeMap<_, _> = MATRIX.into_iter().collect();
    let before = ada.events();
    for operation in operations(&at) {
        let title = operation.title();
        let access = rows[title.as_str()];
        let kind = operation.path.split('/').nth(1).unwrap();
        let id = things.get(kind).map_or(NOTHING, String::as_str);
        assert_eq!(operation.needs_token(), access != Public, "{title}");
        if access == Public {
            assert_ne!(ask(&at, &operation, id).status, 401, "{title}");
            continue;
        }
        // Who is nobody learns that alone, whatever they send.
        for nobody in [at.clone(), at.with_token(&foreign), at.with_token(&expired)] {
            let refused = ask(&nobody, &operation, id).problem(401);
            let nothing = ask(&nobody, &operation, NOTHING).problem(401);
            assert_eq!(seen(&refused), seen(&nothing), "{title}");
            let ask = nobody.ask(&operation.method, &operation.path_with(id));
            if operation.schema().is_some() {
                ask.body(Body::Json("{".to_owned())).send().problem(401);
            }
        }
        if access == Own {
            continue;
        }
        let (theirs, nothing) = (ask(&eve, &operation, id), ask(&eve, &operation, NOTHING));
        assert_eq!(seen(&theirs.problem(404)), seen(&nothing.problem(404)), "{title}");
        match access {
            Seen => {
                let (own, operators) = (ask(&ada, &operation, id), ask(&boss, &operation, id));
                assert_eq!(own.expect(200).body, operators.expect(200).body, "{title}");
            }
            Changed => drop(ask(&boss, &operation, id).problem(404)),
            Public | Own | Managed => {}
        }
    }
    assert_eq!(ada.events(), before, "somebody changed what is another's");
    // What its holder may do, and an operator with tasks.
    for (path, client) in [("retry", &boss), ("discard", &boss)] {
        client
            .post_nothing(&format!("/tasks/{}/{path}", things["tasks"]))
            .expect(if path == "retry" { 202 } else { 204 });
    }
}
