//! What the document allows has room in a body, in any spelling of JSON, and nothing nests deeper than it
//! can be read again.

use serde_json::{Value, json};

use crate::support::{Body, Folder, Server, operations};

const NOTHING: &str = "01900000-0000-7000-8000-000000000000";

/// A text of so many characters that take as many bytes in JSON as any do.
fn longest(characters: u64) -> String {
    let pair = "\\ud834\\udd1e";
    format!("\"{}\"", pair.repeat(usize::try_from(characters).unwrap()))
}

/// The largest value of a schema, in its longest spelling.
fn largest(schema: &Value) -> String {
    match schema["type"].as_str() {
        Some("string") => longest(schema["maxLength"].as_u64().unwrap_or(64)),
        Some("array") => {
            let items = schema["maxItems"].as_u64().unwrap();
            let item = largest(&schema["items"]);
            let items: Vec<_> = (0..items).map(|_| item.as_str()).collect();
            format!("[{}]", items.join(","))
        }
        Some("object") => {
            let fields = schema["properties"].as_object().unwrap().iter();
            let fields: Vec<_> =
                fields.map(|(name, field)| format!("\"{name}\":{}", largest(field))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Some("integer") => "1000000".to_owned(),
        // Any JSON, of which the document says 65 536 bytes.
        _ => format!("\"{}\"", "x".repeat(65_534)),
    }
}

#[test]
fn the_largest_of_everything_has_room_in_a_body() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let mut count = 0;
    for operation in operations(&client) {
        let Some(schema) = operation.schema() else { continue };
        let body = Body::Json(largest(schema));
        let path = operation.path_with(NOTHING);
        let reply = client.apart().ask(&operation.method, &path).body(body).send();
        assert_ne!(reply.status, 413, "{}", operation.title());
        assert!(reply.status < 500, "{}", operation.title());
        count += 1;
    }
    assert!(count >= 12, "{count} bodies");

    let name = longest(200).replace("\\ud834\\udd1e", "\\u00fc");
    let line = format!("{{\"name\":{name},\"quantity\":1,\"unit_price\":\"1\"}}");
    let lines = vec![line; 100].join(",");
    let order = format!("{{\"currency_code\":\"EUR\",\"lines\":[{lines}]}}");
    let order = client.ask("POST", "/orders").body(Body::Json(order)).send().written(201);
    let order = client.get(&format!("/orders/{}", order.text("order_id"))).expect(200).json();
    assert_eq!(order["lines"].as_array().unwrap().len(), 100);
    assert_eq!(order["lines"][99]["name"], "ü".repeat(200));
    let message = format!("{{\"message\":\"{}\"}}", "\\u0078".repeat(32_768));
    client.ask("POST", "/notifications").body(Body::Json(message)).send().written(202);
    let pairs = format!("{{\"message\":{}}}", longest(8_192));
    client.ask("POST", "/notifications").body(Body::Json(pairs)).send().written(202);
}

#[test]
fn a_body_nests_64_levels_and_no_more() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    for operation in operations(&client) {
        let Some(schema) = operation.schema() else { continue };
        let field = schema["properties"].as_object().unwrap().keys().next().unwrap();
        let nested = |open: &str, close: &str, levels| {
            format!("{{\"{field}\":{}1{}}}", open.repeat(levels), close.repeat(levels))
        };
        for body in [nested("[", "]", 64), nested("{\"a\":", "}", 64), nested("[", "]", 30_000)] {
            let path = operation.path_with(NOTHING);
            let said = client.ask(&operation.method, &path).body(Body::Json(body)).send();
            let detail = said.problem(400).text("detail");
            assert!(detail.contains("nested"), "{}: {detail}", operation.title());
        }
    }
    let deep = format!("{}1{}", "[".repeat(63), "]".repeat(63));
    let task = format!("{{\"kind\":\"odd\",\"payload\":{deep}}}");
    let task = client.ask("POST", "/tasks").body(Body::Json(task)).send().written(202);
    let shown = client.get(&format!("/tasks/{}", task.text("task_id"))).expect(200).json();
    assert_eq!(shown["payload"].to_string(), deep);
    let brackets = json!({ "message": "[".repeat(30_000) });
    client.post("/notifications", &brackets).written(202);
}
