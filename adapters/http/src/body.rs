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

/// The largest body there may be: 100 lines of 200 characters have room in it, and 32 768 characters of
/// a message, with every character escaped (12 bytes for one outside the basic plane).
const MOST_BYTES: usize = 400 * 1024;
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
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json)
        .map_err(|error| explain(&error.path().to_string(), error.inner()))
        .and_then(|value| json.end().map(|()| value).map_err(|error| explain("", &error)));
    read.map_err(|detail| Problem::with_detail(Kind::InvalidBody, detail))
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

/// What is wrong with a body at the field of this path, without repeating any value of it: one may be a
/// password.
fn explain(path: &str, error: &serde_json::Error) -> String {
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
        // What is read in two steps has said it already.
        _ if text.starts_with(IN_A_LIST) => without_place(&text).to_owned(),
        // What the readers of our own scalars say.
        _ if text.starts_with("must be ") && is_path(path) => {
            format!("`{path}` {}", without_place(&text))
        }
        _ if is_path(path) => format!("`{path}` has the wrong type: see {place}"),
        _ => format!("a value has the wrong type: see {place}"),
    }
}

fn without_place(text: &str) -> &str {
    text.split(" at line ").next().unwrap_or(text)
}

/// Whether it names a field of ours: names of unknown ones are the caller's.
fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]".contains(&byte);
    !matches!(path, "" | ".") && path.len() <= 64 && path.bytes().all(plain)
}

/// How faults of the items of a list begin.
const IN_A_LIST: &str = "in the list, ";

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
    let read = |(number, item): (usize, Box<RawValue>)| {
        let refused = |what: &str| {
            de::Error::custom(format_args!("{IN_A_LIST}item {}: {what}", number.saturating_add(1)))
        };
        if !item.get().starts_with('{') {
            return Err(refused("it is not an object"));
        }
        let mut json = serde_json::Deserializer::from_str(item.get());
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let said = explain(&error.path().to_string(), error.inner());
            // The place is counted from the beginning of the item, which the caller does not see.
            refused(said.split(": see line").next().unwrap_or(&said))
        })
    };
    items.into_iter().enumerate().map(read).collect()
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
        let fault = |body: &str| {
            let problem = parse::<Login>(body.as_bytes()).unwrap_err();
            problem.detail().to_owned()
        };
        assert_eq!(
            fault("{\"password\":12345678}"),
            "`password` has the wrong type: see line 1 column 20"
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
