//! Whatever is sent in whatever field: none of it is in the log, in the metrics, or in a problem.

use serde_json::{Map, Value, json};

use crate::support::{Body, Folder, Server, operations};

/// Is in no word of ours.
const CANARY: &str = "qzxjkv";

/// A value of this schema with a canary in every text, of a form that passes where there is a form.
fn sung(schema: &Value, name: &str, number: usize) -> Value {
    let text = match name {
        "email" => format!("{CANARY}{number}@{CANARY}.example"),
        "currency_code" => "EUR".to_owned(),
        "amount" | "initial_balance" | "unit_price" => "1.00".to_owned(),
        _ => format!("{CANARY} {CANARY} {number}"),
    };
    match schema["type"].as_str() {
        Some("object") => {
            let fields = schema["properties"].as_object().into_iter().flatten();
            let fields = fields.map(|(name, field)| (name.clone(), sung(field, name, number)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Some("array") => json!([sung(&schema["items"], name, number)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!(text),
    }
}

#[test]
fn nothing_that_was_sent_is_told_to_others() {
    let folder = Folder::new();
    let level = "info,daybook=trace,daybook_application=trace,daybook_database=trace,daybook_http=trace,audit=trace";
    let server = Server::start_with(&folder, &[("DAYBOOK_LOG", level)]);
    let client = server.client();
    let email = format!("{CANARY}@{CANARY}.example");
    let password = format!("{CANARY} {CANARY} 0");
    let ada = json!({ "email": email, "password": password, "full_name": CANARY });
    let ada = client.with_token(&client.post("/register", &ada).expect(201).text("token"));
    let mut problems = Vec::new();
    for (number, operation) in operations(&client).iter().enumerate() {
        // They would end the session of the others, or have no end.
        if operation.path == "/logout" || operation.path.ends_with("/stream") {
            continue;
        }
        for client in [&ada, &client] {
            let right = operation.schema().map(|schema| sung(schema, "", number).to_string());
            let wrong =
                right.as_ref().map(|text| text.replacen(':', &format!(":\"{CANARY}\","), 1));
            for body in [right, wrong, Some(format!("{{\"{CANARY}\":\"{CANARY}\"")), None] {
                let path = format!("{}?{CANARY}={CANARY}", operation.path_with(CANARY));
                for path in [operation.path_with(CANARY), path] {
                    let ask = client
                        .ask(&operation.method, &path)
                        .header("Idempotency-Key", &format!("{CANARY}-{number}"))
                        .header("X-Request-ID", CANARY)
                        .header("Traceparent", CANARY)
                        .header("User-Agent", CANARY)
                        .header("Last-Event-ID", CANARY)
                        .header("Cookie", CANARY);
                    let ask = match &body {
                        Some(text) if operation.method != "GET" => {
                            ask.body(Body::Json(text.clone()))
                        }
                        _ => ask,
                    };
                    let reply = ask.send();
                    assert_ne!(reply.status, 500, "{}: {}", operation.title(), reply.body);
                    if reply.status >= 400 {
                        problems.push((operation.title(), reply.body));
                    }
                }
            }
        }
    }
    assert!(problems.len() > 100, "only {} problems", problems.len());
    for (title, problem) in &problems {
        // The name of a field that there is not is the caller's own.
        let without_names: String = problem.split('`').step_by(2).collect();
        assert!(!without_names.contains(CANARY), "{title}: {problem}");
    }
    let metrics = client.get("/metrics").expect(200).body;
    let ready = client.get("/health/ready").body;
    let token = ada.token().to_owned();
    let ended = server.terminate();
    for (what, text) in
        [("metrics", metrics), ("health", ready), ("log", ended.stderr), ("output", ended.stdout)]
    {
        let lower = text.to_lowercase();
        let place = lower.find(CANARY).or_else(|| text.find(&token));
        assert!(place.is_none(), "{what}: {}", &text[place.unwrap_or(0)..][..200]);
    }
}
