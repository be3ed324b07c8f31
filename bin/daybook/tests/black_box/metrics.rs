//! `/metrics`: what an operator watches.

use serde_json::json;

use crate::support::{Folder, Server, eventually};

#[test]
fn metrics_tell_of_the_log_the_relays_and_the_load_and_of_nobody() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Rainy days", "EUR", &json!("1.00"));
    let last = client
        .post(&format!("/accounts/{account}/deposits"), &json!({ "amount": "2.00" }))
        .written(201)
        .position();
    // Each instance counts its own answers, and they are asked in turn.
    for _ in 0..2 {
        client.get("/accounts/nonsense").problem(404);
    }

    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.map(|value| value.parse::<u64>().unwrap())
    };
    // A relay notes how far it is once a second.
    let text = eventually("the relay is at the end of the log", || {
        let reply = client.get("/metrics").expect(200);
        let kind = reply.header("content-type").unwrap();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        let text = reply.body;
        let lag = value(&text, r#"daybook_relay_lag_events{relay="relay"}"#);
        (lag == Some(0)).then_some(text)
    });
    assert_eq!(value(&text, "daybook_log_position"), Some(last), "{text}");
    assert_eq!(value(&text, "daybook_commands_waiting"), Some(0), "{text}");
    assert_eq!(value(&text, "daybook_commands_limit"), Some(4096), "{text}");
    assert_eq!(value(&text, "daybook_database_up"), Some(1), "{text}");
    assert_eq!(value(&text, "daybook_database_writable"), Some(1), "{text}");
    assert_eq!(value(&text, "daybook_tasks_overdue"), Some(0), "{text}");
    for part in ["cache", "bus", "tasks"] {
        let name = format!(r#"daybook_engine_up{{part="{part}"}}"#);
        assert_eq!(value(&text, &name), Some(1), "{text}");
    }
    assert!(
        value(&text, r#"daybook_responses_total{status="404"}"#).is_some_and(|count| count > 0),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"), "{text}");
    for secret in ["ada", "Rainy", account.as_str()] {
        assert!(!text.contains(secret), "{text}");
    }
    client.post("/metrics", &json!({})).problem(405);
}
