//! The OpenAPI document: what it has to say of every operation, and that it changes only on purpose.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::HashSet;

use serde_json::Value;

fn document() -> Value {
    serde_json::from_str(&daybook_http::openapi()).unwrap()
}

/// Method, path and operation.
fn operations(document: &Value) -> Vec<(String, String, Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap().clone();
        let path = path.clone();
        methods.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    };
    paths.iter().flat_map(of_path).collect()
}

/// `cargo insta review` shows what changed.
#[test]
fn the_document_changes_only_on_purpose() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&document()).unwrap());
}

#[test]
fn every_operation_is_described() {
    let document = document();
    let operations = operations(&document);
    assert_eq!(operations.len(), 32);
    let mut ids = HashSet::new();
    for (method, path, operation) in operations {
        let at = format!("{method} {path}");
        assert!(
            operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
            "{at} has no summary"
        );
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{at} has no tag");
        assert!(
            ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
            "{at} has another's id"
        );
        let responses = operation["responses"].as_object().unwrap();
        let protected = operation.get("security").is_some();
        assert_eq!(
            protected,
            responses.contains_key("401") && path != "/login",
            "{at}: 401 and token"
        );
        for (status, response) in responses {
            let media = response.get("content").and_then(Value::as_object);
            let kinds: Vec<_> = media.into_iter().flat_map(|media| media.keys().cloned()).collect();
            let expected: &[&str] = match status.as_str() {
                "204" => &[],
                "200" if path.ends_with("/stream") => &["text/event-stream"],
                _ if status.starts_with('2') => &["application/json"],
                _ => &["application/problem+json"],
            };
            assert_eq!(kinds, expected, "{at} {status}");
        }
    }
}

#[test]
fn every_post_that_changes_something_takes_an_idempotency_key() {
    for (method, path, operation) in operations(&document()) {
        let names: Vec<_> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        let takes_one = names.iter().any(|name| name == "Idempotency-Key");
        // What begins or ends a session is done again without harm, or is refused.
        let of_sessions = ["/login", "/logout", "/me/password"].contains(&path.as_str());
        assert_eq!(takes_one, method == "post" && !of_sessions, "{method} {path}");
    }
}

#[test]
fn path_parameters_are_those_of_the_path() {
    for (method, path, operation) in operations(&document()) {
        let in_path: HashSet<_> = path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
            .map(str::to_owned)
            .collect();
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let described: HashSet<_> = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(in_path, described, "{method} {path}");
    }
}
