//! What a server answered.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use ureq::Body;
use ureq::http::{HeaderMap, HeaderName, Response};

/// A reply that was read to its end.
#[derive(Debug)]
pub(crate) struct Reply {
    asked: String,
    /// The status code.
    pub(crate) status: u16,
    headers: HeaderMap,
    /// The body.
    pub(crate) body: String,
}

impl Reply {
    /// Reads the reply to what was asked.
    pub(crate) fn read(asked: String, mut response: Response<Body>) -> Result<Self, ureq::Error> {
        let body = response.body_mut().read_to_string()?;
        let headers = std::mem::take(response.headers_mut());
        Ok(Self { asked, status: response.status().as_u16(), headers, body })
    }

    /// The reply, which has this status.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.body);
        self
    }

    /// The reply to a write that was carried out: it has this status and tells its position.
    #[track_caller]
    pub(crate) fn written(self, status: u16) -> Self {
        let reply = self.expect(status);
        assert!(reply.position() > 0, "{}", reply.asked);
        assert!(status != 204 || reply.body.is_empty(), "{}: {}", reply.asked, reply.body);
        reply
    }

    /// The reply, which is a problem document of this status.
    #[track_caller]
    pub(crate) fn problem(self, status: u16) -> Self {
        let reply = self.expect(status);
        let what = format!("{}: {}", reply.asked, reply.body);
        assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{what}");
        let document = reply.json();
        for member in ["type", "title"] {
            assert!(document[member].as_str().is_some_and(|text| !text.is_empty()), "{what}");
        }
        assert_eq!(document["status"], status, "{what}");
        reply
    }

    /// A header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Whether it repeats the outcome of an earlier request under the same key.
    pub(crate) fn is_replayed(&self) -> bool {
        self.header("idempotency-replayed") == Some("true")
    }

    /// The names of its headers, sorted.
    pub(crate) fn header_names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The position of the last event it knows of.
    #[track_caller]
    pub(crate) fn position(&self) -> u64 {
        let header = self.header("daybook-position");
        header
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("{}: no position, but {header:?}", self.asked))
    }

    /// The body's JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.body))
    }

    /// The items of the body's array.
    #[track_caller]
    pub(crate) fn items(&self) -> Vec<Value> {
        match self.json() {
            Value::Array(items) => items,
            other => panic!("{}: not an array: {other}", self.asked),
        }
    }

    /// A text member of the body's object.
    #[track_caller]
    pub(crate) fn text(&self, member: &str) -> String {
        let value = self.json();
        let text = value[member].as_str();
        text.unwrap_or_else(|| panic!("{}: no text `{member}`: {value}", self.asked)).to_owned()
    }

    /// The members of the body's object, in their order.
    #[track_caller]
    pub(crate) fn members(&self) -> Vec<String> {
        serde_json::from_str::<Members>(&self.body).unwrap().0
    }

    /// The members of each object of the body's array, in their order.
    #[track_caller]
    pub(crate) fn members_of_items(&self) -> Vec<Vec<String>> {
        let items: Vec<Members> = serde_json::from_str(&self.body).unwrap();
        items.into_iter().map(|members| members.0).collect()
    }

    /// Where the next page of a list is.
    pub(crate) fn next_page(&self) -> Option<String> {
        self.header("link")?.split(',').find_map(|link| {
            let (target, parameters) = link.trim().split_once(';')?;
            let next =
                parameters.split(';').any(|p| matches!(p.trim(), r#"rel="next""# | "rel=next"));
            next.then(|| target.trim().trim_matches(['<', '>']).to_owned())
        })
    }
}

/// The names of an object's members, in the order of the text.
struct Members(Vec<String>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut names = Vec::new();
                while let Some((name, IgnoredAny)) = map.next_entry()? {
                    names.push(name);
                }
                Ok(Members(names))
            }
        }
        deserializer.deserialize_map(Names)
    }
}
