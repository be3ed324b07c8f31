//! Replies: JSON bytes with the headers of the operation.

use std::marker::PhantomData;

use bytes::Bytes;
use daybook_application::Outcome;
use daybook_events::Position;
use poem::http::{HeaderName, HeaderValue, StatusCode, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry};
use poem_openapi::types::Type;
use serde::Serialize;

use crate::room::Room;

pub(crate) const POSITION: HeaderName = HeaderName::from_static("daybook-position");
pub(crate) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const JSON: &str = "application/json";

/// Stands in the extensions of a reply whose body has the room that it takes.
#[derive(Clone, Copy)]
pub(crate) struct HasRoom;

/// A reply of 200 whose JSON is documented as `T`.
pub(crate) struct Json<T> {
    bytes: Bytes,
    next: Option<String>,
    room: Option<Room>,
    documented: PhantomData<T>,
}

impl<T> Json<T> {
    /// Ready JSON.
    pub(crate) fn encoded(bytes: Bytes) -> Self {
        Self { bytes, next: None, room: None, documented: PhantomData }
    }

    /// The JSON of `value`, which looks like a `T`.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        Self::encoded(serde_json::to_vec(value).unwrap_or_default().into())
    }

    /// The JSON of a page, in the room that it takes; `next` is the path of the one after it.
    pub(crate) fn page(bytes: Bytes, next: Option<String>, room: Room) -> Self {
        Self { bytes, next, room: Some(room), documented: PhantomData }
    }
}

impl<T: Send> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let is_held = self.room.is_some();
        let bytes = match self.room {
            Some(room) => room.hold(self.bytes),
            None => self.bytes,
        };
        let mut response = Response::builder().content_type(JSON).body(Body::from(bytes));
        if is_held {
            response.extensions_mut().insert(HasRoom);
        }
        let headers = response.headers_mut();
        let link = self
            .next
            .and_then(|path| HeaderValue::from_str(&format!("<{path}>; rel=\"next\"")).ok());
        if let Some(link) = link {
            headers.insert(header::LINK, link);
        }
        response
    }
}

impl<T: Type> ApiResponse for Json<T> {
    fn meta() -> MetaResponses {
        let link =
            header_meta("Link", "The next page: `<…>; rel=\"next\"`", false, String::schema_ref());
        let headers = if T::schema_ref().is_array() { vec![link] } else { vec![] };
        MetaResponses { responses: vec![response_meta(200, "Here it is", content::<T>(), headers)] }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

/// The reply to a write: a status, where in the log it stands, and JSON documented as `T` (`()`
/// for no content).
pub(crate) struct Written<const STATUS: u16, T> {
    bytes: Option<Bytes>,
    position: Position,
    replayed: bool,
    documented: PhantomData<T>,
}

impl<const STATUS: u16, T> Written<STATUS, T> {
    pub(crate) fn new(outcome: &Outcome, value: &impl Serialize) -> Self {
        let bytes = serde_json::to_vec(value).unwrap_or_default().into();
        Self { bytes: Some(bytes), ..Self::empty(outcome) }
    }

    pub(crate) fn empty(outcome: &Outcome) -> Self {
        Self {
            bytes: None,
            position: outcome.position,
            replayed: outcome.replayed,
            documented: PhantomData,
        }
    }
}

impl<const STATUS: u16, T: Send> IntoResponse for Written<STATUS, T> {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(STATUS).unwrap_or(StatusCode::OK);
        let builder = Response::builder().status(status);
        let mut response = match self.bytes {
            Some(bytes) => builder.content_type(JSON).body(Body::from(bytes)),
            None => builder.finish(),
        };
        let headers = response.headers_mut();
        headers.insert(POSITION, HeaderValue::from(self.position.get()));
        if self.replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}

/// What a reply to a write can hold.
pub(crate) trait Content: Send {
    fn content() -> Vec<MetaMediaType>;
    fn register(registry: &mut Registry);
}

/// No content.
pub(crate) struct Nothing;

impl Content for Nothing {
    fn content() -> Vec<MetaMediaType> {
        Vec::new()
    }

    fn register(_registry: &mut Registry) {}
}

impl<T: Type> Content for T {
    fn content() -> Vec<MetaMediaType> {
        content::<T>()
    }

    fn register(registry: &mut Registry) {
        <T as Type>::register(registry);
    }
}

impl<const STATUS: u16, T: Content> ApiResponse for Written<STATUS, T> {
    fn meta() -> MetaResponses {
        let headers = vec![
            header_meta(
                "Daybook-Position",
                "Where in the log the write stands",
                true,
                position_schema(),
            ),
            header_meta(
                "Idempotency-Replayed",
                "`true` where the outcome was remembered",
                false,
                String::schema_ref(),
            ),
        ];
        MetaResponses {
            responses: vec![response_meta(
                STATUS,
                "It is done, and durable",
                T::content(),
                headers,
            )],
        }
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

fn position_schema() -> poem_openapi::registry::MetaSchemaRef {
    crate::scalars::Count::schema_ref()
}

fn content<T: Type>() -> Vec<MetaMediaType> {
    vec![MetaMediaType { content_type: JSON, schema: T::schema_ref() }]
}

pub(crate) fn response_meta(
    status: u16,
    description: &'static str,
    content: Vec<MetaMediaType>,
    headers: Vec<MetaHeader>,
) -> MetaResponse {
    MetaResponse { description, status: Some(status), status_range: None, content, headers }
}

fn header_meta(
    name: &str,
    description: &str,
    required: bool,
    schema: poem_openapi::registry::MetaSchemaRef,
) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required,
        deprecated: false,
        schema,
    }
}
