//! Reading request bodies: bounded in size and time, and parsed by serde, so that numbers keep
//! their text and unknown fields are refused.

use std::time::Duration;

use bytes::Bytes;
use poem::error::ReadBodyError;
use poem::{Request, RequestBody, Result};
use poem_openapi::registry::{MetaMediaType, MetaRequest, Registry};
use poem_openapi::types::Type;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::problem::{Kind, Problem};

/// The largest body there may be: 100 lines of 200 characters have room in it, and a message of
/// 32 768 bytes, with every character escaped (12 bytes for one outside the basic plane).
const MOST_BYTES: usize = 320 * 1024;
/// How deep the values of a body may be nested: past that, common clients can't read them again.
const DEEPEST: usize = 64;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body.
pub(crate) struct Body<T> {
    pub value: T,
}

/// A JSON body that may be absent.
pub(crate) struct MaybeBody<T> {
    pub value: Option<T>,
}

macro_rules! body_extractor {
    ($name:ident, $required:literal, $read:expr) => {
        impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for $name<T> {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
            type ParamType = ();
            type ParamRawType = ();

            fn register(registry: &mut Registry) {
                T::register(registry);
            }

            fn request_meta() -> Option<MetaRequest> {
                let content = vec![MetaMediaType {
                    content_type: "application/json",
                    schema: T::schema_ref(),
                }];
                Some(MetaRequest { description: None, content, required: $required })
            }

            async fn from_request(
                request: &'a Request,
                body: &mut RequestBody,
                _options: ExtractParamOptions<()>,
            ) -> Result<Self> {
                let bytes = read(request, body).await?;
                let read: fn(Bytes) -> Result<Self, Problem> = $read;
                Ok(read(bytes)?)
            }
        }
    };
}

body_extractor!(Body, true, |bytes| Ok(Self { value: parse(&bytes)? }));
body_extractor!(MaybeBody, false, |bytes| {
    let value = if bytes.is_empty() { None } else { Some(parse(&bytes)?) };
    Ok(Self { value })
});

async fn read(request: &Request, body: &mut RequestBody) -> Result<Bytes, Problem> {
    let body = body.take().map_err(|_| Problem::new(Kind::InvalidBody))?;
    let read = tokio::time::timeout(PATIENCE, body.into_bytes_limit(MOST_BYTES)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(ReadBodyError::PayloadTooLarge)) => return Err(Problem::new(Kind::BodyTooLarge)),
        Ok(Err(_)) => {
            return Err(Problem::with_detail(Kind::InvalidBody, "the body could not be read"));
        }
        Err(_) => return Err(Problem::new(Kind::RequestTimeout)),
    };
    // An empty body is of no type, whatever a client's library says of it.
    let acceptable = bytes.is_empty() || request.content_type().is_none_or(is_json);
    if acceptable { Ok(bytes) } else { Err(Problem::new(Kind::UnsupportedMediaType)) }
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Serde would take a list of an object's values for the object.
    if !bytes.trim_ascii_start().starts_with(b"{") {
        return Err(Problem::with_detail(Kind::InvalidBody, "the body is not a JSON object"));
    }
    if is_deeper_than(DEEPEST, bytes) {
        let detail = format!("the body is nested more than {DEEPEST} levels deep");
        return Err(Problem::with_detail(Kind::InvalidBody, detail));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::with_detail(Kind::InvalidBody, explain(&error)))
}

fn is_deeper_than(most: usize, json: &[u8]) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > most {
            return true;
        }
    }
    false
}

/// What is wrong with a body, without repeating any value of it: one may be a password.
fn explain(error: &serde_json::Error) -> String {
    let place = format!("line {} column {}", error.line(), error.column());
    if !error.is_data() {
        return format!("the body is not JSON: see {place}");
    }
    let text = error.to_string();
    let names_a_field = ["unknown field", "missing field", "duplicate field"]
        .iter()
        .any(|start| text.starts_with(start));
    match text.split('`').nth(1) {
        Some(field) if names_a_field => {
            let what = text.split('`').next().unwrap_or_default();
            let field: String = field.chars().take(64).collect();
            format!("{what}`{field}`: see {place}")
        }
        _ => format!("a value has the wrong type: see {place}"),
    }
}

/// Reads a field that may be left out, and is no null where it is given.
pub(crate) fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a field that is a list of objects, each of which has to be one, as the body itself.
pub(crate) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let items = Vec::<Box<RawValue>>::deserialize(deserializer)?;
    let read = |item: Box<RawValue>| {
        if item.get().starts_with('{') {
            serde_json::from_str(item.get()).map_err(de::Error::custom)
        } else {
            Err(de::Error::custom("invalid type: every item is an object"))
        }
    };
    items.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Login {
        #[expect(dead_code, reason = "only how it is refused matters here")]
        password: String,
    }

    #[test]
    fn faults_are_explained_without_the_values() {
        let fault = |body: &str| explain(&serde_json::from_str::<Login>(body).unwrap_err());
        assert_eq!(
            fault("{\"password\":12345678}"),
            "a value has the wrong type: see line 1 column 20"
        );
        assert_eq!(fault("{\"passwort\":1}"), "unknown field `passwort`: see line 1 column 11");
        assert_eq!(fault("{}"), "missing field `password`: see line 1 column 2");
        assert_eq!(fault("{\"password\":\"secret"), "the body is not JSON: see line 1 column 19");
    }

    #[test]
    fn only_what_nests_is_deep() {
        let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_deeper_than(64, nested(64).as_bytes()));
        assert!(is_deeper_than(64, nested(65).as_bytes()));
        assert!(!is_deeper_than(1, br#"{"a":"[[[\"[[","b":"{"}"#));
        assert!(is_deeper_than(1, br#"{"a\\":[]}"#));
    }

    #[test]
    fn json_has_several_names() {
        assert!(is_json("application/json; charset=utf-8"));
        assert!(is_json("Application/JSON"));
        assert!(is_json("application/vnd.daybook+json"));
        assert!(!is_json("text/plain"));
        assert!(!is_json("application/x-www-form-urlencoded"));
    }
}
