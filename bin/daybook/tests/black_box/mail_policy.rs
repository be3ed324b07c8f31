//! Whom holders may send mail to.

use serde_json::{Value, json};

use crate::support::{Client, Folder, Reply, Server, eventually};

const STRANGER: &str = "grace@example.org";

fn mail(client: &Client, to: &str) -> Reply {
    client.post("/tasks", &task(to))
}

fn task(to: &str) -> Value {
    json!({ "kind": "send_email", "payload": { "to": to, "subject": "Hello", "text": "Hi" } })
}

fn refused(reply: Reply) {
    let problem = reply.problem(403).json();
    assert_eq!(problem["type"], "urn:daybook:problem:mail-not-allowed", "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("the address you registered with"));
}

#[test]
fn a_holder_mails_the_own_address_and_an_operator_anyone() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let (ada, boss) = (server.register("Ada@Example.com"), server.register("boss@example.com"));
    let boss_id = boss.get("/me").expect(200).text("id");
    mail(&ada, "ada@example.COM").written(202);
    for to in [STRANGER, "boss@example.com", "ada+more@example.com"] {
        refused(mail(&ada, to));
    }
    refused(mail(&boss, STRANGER));
    // A refusal is an outcome, which its key remembers.
    for _ in 0..2 {
        let keyed = ada.ask("POST", "/tasks").header("Idempotency-Key", "m1").json(&task(STRANGER));
        refused(keyed.send());
    }
    server.terminate();
    let server = Server::start_with(&folder, &[("DAYBOOK_OPERATORS", &boss_id)]);
    mail(&boss.at(&server.client()), STRANGER).written(202);
    refused(mail(&ada.at(&server.client()), STRANGER));
}

#[test]
fn a_policy_widens_it() {
    let folder = Folder::new();
    let policy = [("DAYBOOK_MAIL_POLICY", "example.org, example.net")];
    let server = Server::start_with(&folder, &policy);
    let ada = server.register("ada@example.com");
    mail(&ada, STRANGER).written(202);
    mail(&ada, "ada@example.com").written(202);
    refused(mail(&ada, "boss@example.com"));
    server.terminate();
    let server = Server::start_with(&folder, &[("DAYBOOK_MAIL_POLICY", "anyone")]);
    mail(&ada.at(&server.client()), "boss@example.com").written(202);
}

#[test]
fn a_mail_that_was_asked_for_before_is_not_put_back_for_a_stranger() {
    let folder = Folder::new();
    // Nobody listens there.
    let nowhere = [
        ("SMTP_URL", "smtp://127.0.0.1:9"),
        ("DAYBOOK_TASK_ATTEMPTS", "1"),
        ("DAYBOOK_MAIL_POLICY", "anyone"),
    ];
    let server = Server::start_with(&folder, &nowhere);
    let ada = server.register("ada@example.com");
    let ids = [STRANGER, "ada@example.com"].map(|to| mail(&ada, to).written(202).text("task_id"));
    for id in &ids {
        eventually("it is dead", || {
            let task = ada.get(&format!("/tasks/{id}")).expect(200);
            (task.text("state") == "dead").then_some(())
        });
    }
    server.terminate();
    let server = Server::start_with(&folder, &nowhere[..2]);
    let ada = ada.at(&server.client());
    refused(ada.post_nothing(&format!("/tasks/{}/retry", ids[0])));
    ada.post_nothing(&format!("/tasks/{}/retry", ids[1])).written(202);
}
