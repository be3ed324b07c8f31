//! What every operation needs to know of a request besides its body.

use std::collections::HashMap;
use std::sync::Arc;

use daybook_application as application;
use daybook_events::Fingerprint;
use poem::Request;
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::auth::Authenticator;
use crate::problem::{Kind, Problem};
use crate::scalars::Key;

/// Names the request; put into its extensions by the service.
#[derive(Clone, Copy)]
pub(crate) struct RequestId(pub Uuid);

/// The request as the use cases know it. The fingerprint covers the operation and the whole body.
pub(crate) fn of(request: &Request, key: Option<&Key>, body: &[u8]) -> application::Request {
    fingerprinted(request, key, || {
        let mut digest = Sha256::new();
        for part in [request.method().as_str().as_bytes(), request.uri().path().as_bytes(), body] {
            digest.update(part);
            digest.update(b"\0");
        }
        Some(digest.finalize().into())
    })
}

/// As [`of`], with a digest of one's own.
pub(crate) fn fingerprinted(
    request: &Request,
    key: Option<&Key>,
    digest: impl FnOnce() -> Option<[u8; 32]>,
) -> application::Request {
    let key = key.and_then(Key::read).and_then(|key| {
        Some(application::RequestKey { key, fingerprint: Fingerprint::new(digest()?) })
    });
    application::Request {
        correlation_id: request.extensions().get::<RequestId>().map(|id| id.0),
        traceparent: request
            .header("traceparent")
            .filter(|text| is_traceparent(text))
            .map(str::to_owned),
        key,
    }
}

/// W3C trace context, version 00: what else someone sends is not stored.
fn is_traceparent(text: &str) -> bool {
    let hex =
        |part: &str, length| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<_> = text.split('-').collect();
    matches!(parts[..], [version, trace, span, flags]
        if hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2))
}

/// The routes of the API: which methods each takes, and which query parameters each of those knows.
/// Read from the OpenAPI document, so that it can't say anything else.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<Route>);

#[derive(Debug)]
struct Route {
    segments: Vec<String>,
    methods: HashMap<String, Vec<String>>,
}

impl Routes {
    pub(crate) fn of_document(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let route = |(path, operations): (&String, &Value)| Route {
            segments: path.split('/').skip(1).map(str::to_owned).collect(),
            methods: operations
                .as_object()
                .into_iter()
                .flatten()
                .map(|(method, operation)| (method.to_uppercase(), query_parameters(operation)))
                .collect(),
        };
        Self(paths.into_iter().flatten().map(route).collect())
    }

    fn find(&self, path: &str) -> Option<&Route> {
        self.0.iter().find(|route| {
            let given = path.split('/').skip(1);
            given.clone().count() == route.segments.len()
                && given
                    .zip(&route.segments)
                    .all(|(given, known)| known.starts_with('{') || given == known)
        })
    }

    /// The methods a path takes, as in the `Allow` header.
    pub(crate) fn allowed(&self, path: &str) -> String {
        let mut methods: Vec<_> = self
            .find(path)
            .map_or_else(|| vec!["GET"], |r| r.methods.keys().map(String::as_str).collect());
        methods.sort_unstable();
        methods.join(", ")
    }

    fn unknown_parameter(&self, request: &Request) -> Option<String> {
        let query = request.uri().query().filter(|query| !query.is_empty())?;
        let known = self.find(request.uri().path())?.methods.get(request.method().as_str())?;
        let name = |pair: &str| pair.split('=').next().unwrap_or_default().to_owned();
        query.split('&').map(name).find(|name| !known.contains(name))
    }
}

fn query_parameters(operation: &Value) -> Vec<String> {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters
        .into_iter()
        .flatten()
        .filter(|parameter| parameter.get("in").and_then(Value::as_str) == Some("query"))
        .filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned()))
        .collect()
}

/// A misspelt parameter would otherwise be ignored, and the caller never learn of it.
pub(crate) fn refuse_unknown_parameters(request: &Request) -> Result<(), Problem> {
    if request.uri().query().is_none() {
        return Ok(());
    }
    let Some(routes) = request.data::<Arc<Authenticator>>().map(|data| &data.routes) else {
        return Ok(());
    };
    match routes.unknown_parameter(request) {
        Some(_) => {
            Err(Problem::with_detail(Kind::InvalidParameter, "there is an unknown query parameter"))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_checked() {
        assert!(is_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"));
        for text in [
            "",
            "00-x-y-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ada@example.com",
        ] {
            assert!(!is_traceparent(text), "{text}");
        }
    }

    #[test]
    fn routes_are_those_of_the_document() {
        let document = serde_json::json!({"paths": {
            "/orders": {"get": {"parameters": [{"in": "query", "name": "limit"}]}, "post": {}},
            "/orders/{id}/pay": {"post": {}},
        }});
        let routes = Routes::of_document(&document);
        assert_eq!(routes.allowed("/orders"), "GET, POST");
        assert_eq!(routes.allowed("/orders/7/pay"), "POST");
        let asked = |uri: &str| {
            let request = Request::builder().uri(uri.parse().unwrap()).finish();
            routes.unknown_parameter(&request)
        };
        assert_eq!(asked("/orders?limit=1"), None);
        assert_eq!(asked("/orders?limit=1&x=2").as_deref(), Some("x"));
        assert_eq!(asked("/elsewhere?x=2"), None);
    }
}
