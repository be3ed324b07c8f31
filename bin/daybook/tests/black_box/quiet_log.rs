//! What the log does not say: no password, no token, no personal data.

use serde_json::json;

use crate::support::{Folder, Server};

#[test]
fn no_secret_and_nothing_personal_reaches_the_log() {
    let folder = Folder::new();
    // As much as Daybook itself has to say; the libraries' own traces are not its log.
    let level =
        "info,daybook=debug,daybook_application=debug,daybook_database=debug,daybook_http=debug";
    let server =
        Server::start_with(&folder, &[("DAYBOOK_LOG", level), ("SMTP_URL", "smtp://127.0.0.1:1")]);
    let client = server.client();
    let ada = json!({ "email": "ada.private@example.com", "password": "correct-horse-battery", "full_name": "Ada Private" });
    let token = client.post("/register", &ada).expect(201).text("token");
    client.post("/register", &ada).problem(409);
    let login = json!({ "email": "ada.private@example.com", "password": "battery-horse-correct" });
    client.post("/login", &login).problem(401);
    client
        .post("/login", &json!({ "email": "ada.private@example.com", "password": 12_345_678 }))
        .problem(400);
    let ada = client.with_token(&token);
    ada.get("/me").expect(200);
    ada.post("/accounts", &json!({ "name": "Private savings", "currency_code": "???" }))
        .problem(400);
    let mail = json!({ "to": "ada.private@example.com", "subject": "Private subject", "text": "Private text" });
    let task = ada
        .post("/tasks", &json!({ "kind": "send_email", "payload": mail }))
        .written(202)
        .text("task_id");
    crate::support::eventually("the mail server is not found", || {
        ada.get(&format!("/tasks/{task}")).json()["last_error"].as_str().map(|_| ())
    });
    let ended = server.terminate();
    let log = ended.stderr + &ended.stdout;
    for secret in ["private", "Private", "correct-horse", "battery-horse", "12345678", &token] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    assert!(log.contains("tried again"), "the log has nothing to say:\n{log}");
}
