//! Server-sent events. The `id` of each is its position in the log, so that a client that comes
//! back says where to go on.

use std::time::Duration;

use bytes::Bytes;
use daybook_application::{FeedItem, FeedStream};
use daybook_events::{NotificationPublished, Position, RecordedEvent};
use futures_util::{Stream, StreamExt, stream};
use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaMediaType, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::ParseFromParameter;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::document::Event;
use crate::problem::Problem;
use crate::reply::response_meta;
use crate::scalars::Count;

/// So that proxies don't close a quiet stream, and a client that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back.
const GREETING: &[u8] = b"retry: 1000\n\n";

/// Where to go on: the header that a browser sends when it comes back is newer than the URL.
pub(crate) fn resume_from(
    header: Option<&String>,
    after: Option<Count>,
) -> Result<Option<Position>, Problem> {
    match header {
        // An empty one too: a client that has seen nothing leaves it out, as browsers do.
        Some(text) => Count::parse_from_parameter(text)
            .map(|count| Some(count.position()))
            .map_err(|_| Problem::parameter("Last-Event-ID", "must be a position")),
        None => Ok(after.map(Count::position)),
    }
}

/// A stream of server-sent events.
pub(crate) struct EventStream(Body);

impl EventStream {
    /// The frames of `items`, until `stop`: a server that shuts down does not wait for its listeners.
    pub(crate) fn new(
        items: FeedStream,
        frame: fn(&RecordedEvent) -> Option<Bytes>,
        stop: CancellationToken,
    ) -> Self {
        let frames = items.filter_map(move |item| async move {
            match item {
                FeedItem::Event(event) => frame(&event),
                FeedItem::Reset { head } => Some(reset(head)),
            }
        });
        let greeting = stream::iter([Bytes::from_static(GREETING)]);
        let frames = greeting.chain(with_keep_alive(frames)).take_until(stop.cancelled_owned());
        Self(Body::from_bytes_stream(frames.map(Ok::<_, std::io::Error>)))
    }
}

fn with_keep_alive(
    frames: impl Stream<Item = Bytes> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send {
    stream::unfold(frames.boxed(), |mut frames| async move {
        match tokio::time::timeout(KEEP_ALIVE, frames.next()).await {
            Ok(frame) => frame.map(|frame| (frame, frames)),
            Err(_) => Some((Bytes::from_static(b":\n\n"), frames)),
        }
    })
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        let mut response = Response::builder().content_type("text/event-stream").body(self.0);
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // nginx would otherwise hold the events back until it has a buffer full.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let example = "id: 12\ndata: {\"topic\":\"notifications\",\"message\":\"The shop is open\",\
                       \"timestamp\":\"2026-11-23T09:30:00.123456Z\"}\n\n";
        let schema = MetaSchema { example: Some(example.into()), ..MetaSchema::new("string") };
        let schema = MetaSchemaRef::Inline(Box::new(schema));
        let content = vec![MetaMediaType { content_type: "text/event-stream", schema }];
        MetaResponses {
            responses: vec![response_meta(200, "Server-sent events, without end", content, vec![])],
        }
    }

    fn register(_registry: &mut Registry) {}
}

/// The frame of an event: its type, and the event as `GET /events` shows it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "what is no notification has no frame; every event is an event"
)]
pub(crate) fn event_frame(event: &RecordedEvent) -> Option<Bytes> {
    Some(frame(event.position, Some(&event.event_type), &Event::of(event)))
}

#[derive(Serialize)]
struct NotificationData<'a> {
    topic: &'a str,
    message: &'a str,
    timestamp: String,
}

/// The frame of a notification; `None` for an event that is none.
pub(crate) fn notification_frame(event: &RecordedEvent) -> Option<Bytes> {
    let published: NotificationPublished = event.data.read().ok()?;
    let data = NotificationData {
        topic: published.topic.as_str(),
        message: published.message.as_str(),
        timestamp: event.timestamp.to_string(),
    };
    Some(frame(event.position, None, &data))
}

#[derive(Serialize)]
struct ResetData {
    position: u64,
}

/// The position the client asked for is not in this log: it should read afresh.
fn reset(head: Position) -> Bytes {
    frame(head, Some("reset"), &ResetData { position: head.get() })
}

fn frame(id: Position, event: Option<&str>, data: &impl Serialize) -> Bytes {
    // JSON has no raw line breaks: one data line is enough.
    let data = serde_json::to_string(data).unwrap_or_default();
    match event {
        Some(event) => format!("id: {id}\nevent: {event}\ndata: {data}\n\n"),
        None => format!("id: {id}\ndata: {data}\n\n"),
    }
    .into()
}
