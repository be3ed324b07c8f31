//! Server-sent events. The `id` of each is its position in the log, so that a client that comes
//! back says where to go on.

use std::time::Duration;

use bytes::Bytes;
use daybook_application::{FeedItem, FeedStream};
use daybook_events::{Clock, NotificationPublished, Position, RecordedEvent, Timestamp};
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
use crate::room::held;
use crate::scalars::Count;

pub(crate) const EVENT_STREAM: &str = "text/event-stream";
/// So that proxies don't close a quiet stream, and a client that is gone is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How late an expiry may be noticed at most where the clock was set.
const LOOK_AT_THE_CLOCK_EVERY: Duration = Duration::from_secs(15);
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

/// Why a stream ends though its reader is still there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server shuts down, and does not wait for its listeners: they find another.
    Stopping,
    /// The token that the stream was asked for with has expired: the reader has to log in again.
    TokenExpired,
    /// The session was ended.
    SessionOver,
}

impl Ended {
    /// The last frame: what a reader could not find out by coming back at once.
    fn frame(self) -> Option<Bytes> {
        match self {
            Self::Stopping => None,
            Self::TokenExpired => Some(Bytes::from_static(b"event: token-expired\ndata: {}\n\n")),
            Self::SessionOver => Some(Bytes::from_static(b"event: session-ended\ndata: {}\n\n")),
        }
    }
}

/// Waits for the end of a stream whose reader may listen until `expiry`.
pub(crate) async fn ended(
    expiry: Timestamp,
    clock: std::sync::Arc<dyn Clock>,
    stop: CancellationToken,
) -> Ended {
    loop {
        let now = clock.now();
        if expiry <= now {
            return Ended::TokenExpired;
        }
        // A clock may jump: it is looked at again now and then.
        let left = u64::try_from(expiry.micros().saturating_sub(now.micros())).unwrap_or(0);
        let pause = Duration::from_micros(left).min(LOOK_AT_THE_CLOCK_EVERY);
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return Ended::Stopping;
        }
    }
}

/// A stream of server-sent events.
pub(crate) struct EventStream(Body);

impl EventStream {
    /// The frames of `items`, until it has `ended`.
    pub(crate) fn new(
        items: FeedStream,
        frame: fn(&RecordedEvent) -> Option<Bytes>,
        ended: impl Future<Output = Ended> + Send + 'static,
    ) -> Self {
        let frames = items.filter_map(move |item| async move {
            match item {
                // The frame keeps the room it takes until it is written.
                FeedItem::Event(event, taken) => frame(&event).map(|frame| held(frame, taken)),
                FeedItem::Reset { head } => Some(reset(head)),
            }
        });
        let greeting = stream::iter([Bytes::from_static(GREETING)]);
        let frames = greeting.chain(with_keep_alive(frames));
        let frames = until(frames, ended);
        Self(Body::from_bytes_stream(frames.map(Ok::<_, std::io::Error>)))
    }
}

/// The frames until it has ended, and the frame that says why.
fn until(
    frames: impl Stream<Item = Bytes> + Send + 'static,
    ended: impl Future<Output = Ended> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send {
    let state = Some((frames.boxed(), Box::pin(ended)));
    stream::unfold(state, |state| async move {
        let (mut frames, mut ended) = state?;
        tokio::select! {
            biased;
            why = &mut ended => why.frame().map(|frame| (frame, None)),
            frame = frames.next() => frame.map(|frame| (frame, Some((frames, ended)))),
        }
    })
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
        let mut response = Response::builder().content_type(EVENT_STREAM).body(self.0);
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
        let content = vec![MetaMediaType { content_type: EVENT_STREAM, schema }];
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[derive(Default)]
    struct SetClock(AtomicI64);

    impl Clock for SetClock {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    const HOUR: i64 = 3_600_000_000;

    /// The text of a stream that nothing happens on, for a reader whose token expires in an hour.
    fn read(
        clock: &Arc<SetClock>,
        stop: &CancellationToken,
    ) -> impl Future<Output = String> + use<> {
        let clock = Arc::clone(clock);
        let ended = ended(Timestamp::from_micros(HOUR), clock, stop.clone());
        let stream = EventStream::new(Box::pin(stream::pending()), event_frame, ended);
        async move { stream.0.into_string().await.unwrap() }
    }

    /// A clock that goes as the runtime's does, which is paused.
    async fn goes_on(clock: &SetClock) {
        let began = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let passed = i64::try_from(began.elapsed().as_micros()).unwrap();
            clock.0.store(passed, Ordering::Relaxed);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_with_its_token_and_says_so() {
        let (clock, stop) = (Arc::new(SetClock::default()), CancellationToken::new());
        let began = Instant::now();
        let text = tokio::select! {
            text = read(&clock, &stop) => text,
            () = goes_on(&clock) => unreachable!(),
        };
        assert!(text.ends_with("event: token-expired\ndata: {}\n\n"), "{text}");
        assert!(began.elapsed().abs_diff(Duration::from_hours(1)) < Duration::from_secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_forward_ends_it_soon() {
        let (clock, stop) = (Arc::new(SetClock::default()), CancellationToken::new());
        let reading = tokio::spawn(read(&clock, &stop));
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert!(!reading.is_finished());
        clock.0.store(2 * HOUR, Ordering::Relaxed);
        tokio::time::sleep(LOOK_AT_THE_CLOCK_EVERY).await;
        assert!(reading.await.unwrap().contains("token-expired"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stops_ends_it_without_a_word() {
        let (clock, stop) = (Arc::new(SetClock::default()), CancellationToken::new());
        let reading = tokio::spawn(read(&clock, &stop));
        tokio::time::sleep(Duration::from_secs(1)).await;
        stop.cancel();
        assert_eq!(reading.await.unwrap().as_bytes(), GREETING);
    }
}
