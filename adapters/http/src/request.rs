//! What every operation needs to know of a request besides its body.

use std::collections::{BTreeMap, HashMap};

use daybook_application as application;
use daybook_events::Fingerprint;
use daybook_money::{Amount, json_number_value};
use poem::Request;
use poem::http::{HeaderMap, HeaderName, Method, header};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::problem::{Kind, Problem};
use crate::scalars::Key;

/// Names the request; put into its extensions by the service.
#[derive(Clone, Copy)]
pub(crate) struct RequestId(pub Uuid);

/// The request as the use cases know it. The fingerprint covers the operation and what was
/// understood of its path and body, so that another spelling of the same is the same request.
pub(crate) fn of(
    request: &Request,
    key: Option<&Key>,
    operation: &str,
    understood: &impl Serialize,
) -> application::Request {
    fingerprinted(request, key, || {
        Some(Sha256::digest(serde_json::to_vec(&(operation, understood)).ok()?).into())
    })
}

/// As [`of`], for an operation that takes no key.
pub(crate) fn keyless(request: &Request) -> application::Request {
    fingerprinted(request, None, || None)
}

/// The value of an amount, however it is spelt; what is no decimal is itself, and refused later.
pub(crate) fn value_of(amount: &Amount) -> String {
    amount.value().unwrap_or_else(|_| format!("{amount:?}"))
}

/// Free JSON in one spelling: fields sorted, the last of equal names, no blanks, texts without
/// needless escapes, and numbers by their exact value.
pub(crate) fn canonical(json: &RawValue) -> Value {
    let text = json.get();
    match text.bytes().next() {
        Some(b'{') => {
            let fields = serde_json::from_str::<BTreeMap<String, Box<RawValue>>>(text);
            let fields = fields.into_iter().flatten();
            // Pairs in the order of their names, whatever map serde_json has.
            let pairs =
                fields.map(|(name, value)| Value::from(vec![name.into(), canonical(&value)]));
            Value::from(vec!["object".into(), Value::from(pairs.collect::<Vec<_>>())])
        }
        Some(b'[') => {
            let items = serde_json::from_str::<Vec<Box<RawValue>>>(text).into_iter().flatten();
            let items = items.map(|item| canonical(&item)).collect::<Vec<_>>();
            Value::from(vec!["list".into(), Value::from(items)])
        }
        Some(b'-' | b'0'..=b'9') => {
            let value = json_number_value(text).unwrap_or_else(|_| text.to_owned());
            Value::from(vec!["number".to_owned(), value])
        }
        _ => serde_json::from_str(text).unwrap_or_default(),
    }
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

/// What the service itself reads of a request, besides the headers that operations declare.
const OWN_HEADERS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("x-request-id"),
];

/// The routes of the API: which methods each takes, and which parameters those know. Read from the
/// OpenAPI document, so that it can't say anything else.
///
/// What a caller sends as a parameter is never treated as absent: a header or query parameter that
/// its reader would pass over or read in part is found here, before any operation is called.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    routes: Vec<Route>,
    /// The headers that are read, by any operation.
    headers: Vec<HeaderName>,
}

#[derive(Debug)]
struct Route {
    segments: Vec<String>,
    methods: HashMap<String, Operation>,
}

#[derive(Debug)]
struct Operation {
    /// The query parameters it knows.
    query: Vec<QueryParameter>,
    needs_token: bool,
}

#[derive(Debug)]
struct QueryParameter {
    name: String,
    is_list: bool,
}

/// What is wrong with the parameters of a request.
#[derive(Debug)]
pub(crate) struct Fault {
    pub problem: Problem,
    /// Whether the operation asks for a token: who has none learns only that.
    pub needs_token: bool,
}

impl Routes {
    pub(crate) fn of_document(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let mut headers = OWN_HEADERS.to_vec();
        let mut routes = Vec::new();
        for (path, operations) in paths.into_iter().flatten() {
            let operations = operations.as_object().into_iter().flatten();
            for name in operations.clone().flat_map(|(_, operation)| names(operation, "header")) {
                let name = HeaderName::from_bytes(name.as_bytes()).ok();
                headers.extend(name.filter(|name| !headers.contains(name)));
            }
            routes.push(Route {
                segments: path.split('/').skip(1).map(str::to_owned).collect(),
                methods: operations
                    .map(|(method, operation)| (method.to_uppercase(), Operation::of(operation)))
                    .collect(),
            });
        }
        Self { routes, headers }
    }

    fn find(&self, path: &str) -> Option<&Route> {
        self.routes.iter().find(|route| {
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

    /// What is wrong with the parameters of a request to one of the routes.
    pub(crate) fn fault(&self, request: &Request) -> Option<Fault> {
        let headers = self.header_fault(request.headers());
        let query = request.uri().query().filter(|query| !query.is_empty());
        if headers.is_none() && query.is_none() {
            return None;
        }
        let method = match request.method() {
            // It is answered by the same operation, without the body.
            &Method::HEAD => "GET",
            other => other.as_str(),
        };
        let operation = self.find(request.uri().path())?.methods.get(method)?;
        let problem = headers.or_else(|| operation.query_fault(query?))?;
        Some(Fault { problem, needs_token: operation.needs_token })
    }

    fn header_fault(&self, headers: &HeaderMap) -> Option<Problem> {
        let repeated = headers.len() != headers.keys_len();
        self.headers.iter().find_map(|name| {
            let value = headers.get(name)?;
            if value.to_str().is_err() {
                Some(Problem::parameter(&title(name), "must be visible ASCII characters"))
            } else if repeated && headers.get_all(name).iter().nth(1).is_some() {
                Some(Problem::parameter(&title(name), "must be given once"))
            } else {
                None
            }
        })
    }
}

impl Operation {
    fn of(document: &Value) -> Self {
        let query = parameters(document, "query").filter_map(|parameter| {
            let kind = parameter.pointer("/schema/type").and_then(Value::as_str);
            let name = parameter.get("name")?.as_str()?.to_owned();
            Some(QueryParameter { name, is_list: kind == Some("array") })
        });
        Self { query: query.collect(), needs_token: document.get("security").is_some() }
    }

    /// A misspelt parameter would otherwise be ignored, and the caller never learn of it.
    fn query_fault(&self, query: &str) -> Option<Problem> {
        let refused = |detail| Some(Problem::with_detail(Kind::InvalidParameter, detail));
        let mut seen = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name) else {
                return refused("the name of a query parameter is badly encoded");
            };
            let Some(known) = self.query.iter().find(|known| known.name == name) else {
                return refused("there is an unknown query parameter");
            };
            if decoded(value).is_none() {
                return Some(Problem::parameter(&name, "is badly encoded"));
            }
            if seen.contains(&name) && !known.is_list {
                return Some(Problem::parameter(&name, "must be given once"));
            }
            seen.push(name);
        }
        None
    }
}

/// A part of a query as it was meant; `None` where its escapes or what they stand for can't be read.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut read = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        read.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || u8::try_from(char::from(bytes.next()?).to_digit(16)?).ok();
                (digit()? << 4) | digit()?
            }
            other => other,
        });
    }
    String::from_utf8(read).ok()
}

/// The name of a header as it is written in documents: `idempotency-key` is `Idempotency-Key`.
fn title(name: &HeaderName) -> String {
    let capital = |part: &str| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_uppercase() + if part == "id" { "D" } else { rest }
    };
    name.as_str().split('-').map(capital).collect::<Vec<_>>().join("-")
}

fn parameters<'a>(operation: &'a Value, place: &str) -> impl Iterator<Item = &'a Value> {
    let all = operation.get("parameters").and_then(Value::as_array);
    all.into_iter()
        .flatten()
        .filter(move |parameter| parameter.get("in").and_then(Value::as_str) == Some(place))
}

fn names<'a>(operation: &'a Value, place: &str) -> impl Iterator<Item = &'a str> {
    parameters(operation, place).filter_map(|parameter| parameter.get("name")?.as_str())
}

#[cfg(test)]
mod tests {
    use poem::http::HeaderValue;

    use super::*;

    #[test]
    fn free_json_has_one_spelling() {
        let canonical = |text: &str| canonical(&RawValue::from_string(text.to_owned()).unwrap());
        for same in [r#"{"b": [1.0, 10e-1], "a":"a"}"#, r#"{"a":"\u0061","b":[1,1e0]}"#] {
            assert_eq!(canonical(same), canonical(r#"{"a":"a","b":[1,1]}"#), "{same}");
        }
        for other in ["1", r#""1""#, "[]", "{}", "null", "true", "[1]", r#"["number","1e0"]"#] {
            for another in ["2", r#""2""#, "[[]]", r#"{"a":1}"#, "false", "9007199254740993"] {
                assert_ne!(canonical(other), canonical(another), "{other} {another}");
            }
        }
        assert_ne!(canonical("9007199254740993"), canonical("9007199254740992"));
        assert_ne!(canonical("1"), canonical(r#""1""#));
        assert_ne!(canonical("1"), canonical(r#"["number","1e0"]"#));
    }

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
            "/orders": {"get": {"parameters": [
                {"in": "query", "name": "limit", "schema": {"type": "integer"}},
                {"in": "query", "name": "topic", "schema": {"type": "array"}},
            ]}, "post": {}},
            "/orders/{id}/pay": {"post": {}},
        }});
        let routes = Routes::of_document(&document);
        assert_eq!(routes.allowed("/orders"), "GET, POST");
        assert_eq!(routes.allowed("/orders/7/pay"), "POST");
        let asked_with = |method: Method, uri: &str| {
            let request = Request::builder().method(method).uri(uri.parse().unwrap()).finish();
            routes.fault(&request).map(|fault| fault.problem.detail().to_owned())
        };
        let asked = |uri: &str| asked_with(Method::GET, uri);
        assert_eq!(asked("/orders?limit=1"), None);
        assert_eq!(asked("/orders?topic=a&topic=b"), None);
        assert_eq!(asked("/elsewhere?x=2"), None);
        for (query, fault) in [
            ("limit=1&x=2", "there is an unknown query parameter"),
            ("limit=1&limit=2", "limit: must be given once"),
            ("limit=1&l%69mit=1", "limit: must be given once"),
            ("limit=%f", "limit: is badly encoded"),
            ("limit=%ff", "limit: is badly encoded"),
            ("%zz=1", "the name of a query parameter is badly encoded"),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let asked = asked_with(method, &format!("/orders?{query}"));
                assert_eq!(asked.as_deref(), Some(fault), "{query}");
            }
        }
    }

    #[test]
    fn every_header_that_an_operation_declares_is_read_whole_or_refused() {
        let document = serde_json::json!({"paths": {
            "/orders": {"get": {"parameters": [{"in": "header", "name": "Some-New-Id"}]}},
        }});
        let routes = Routes::of_document(&document);
        let asked = |name: &str, values: &[&[u8]]| {
            let mut request = Request::builder().uri("/orders".parse().unwrap()).finish();
            for value in values {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                request.headers_mut().append(name, HeaderValue::from_bytes(value).unwrap());
            }
            routes.fault(&request).map(|fault| fault.problem.detail().to_owned())
        };
        for name in ["Some-New-ID", "Authorization", "Content-Type", "Traceparent"] {
            assert_eq!(asked(name, &[b"a"]), None);
            for values in [&[b"a".as_slice(), b"b"][..], &[b"a", b"a"]] {
                assert_eq!(asked(name, values).unwrap(), format!("{name}: must be given once"));
            }
            for value in ["größe".as_bytes(), b"gr\xf6\xdfe"] {
                let fault = format!("{name}: must be visible ASCII characters");
                assert_eq!(asked(name, &[value]).unwrap(), fault);
            }
        }
        assert_eq!(asked("User-Agent", &["größe".as_bytes()]), None);
    }
}
