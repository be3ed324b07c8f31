//! The log, as pages and as a stream.

use daybook_application::Queries;
use daybook_events::{Position, RecordedEvent};
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::{Context, Group};
use crate::auth::Bearer;
use crate::document::Event;
use crate::page;
use crate::problem::{Failure, Kind, Listing, Problem, ReadingLog};
use crate::reply::Json;
use crate::scalars::{Count, Limit};
use crate::sse::{EventStream, event_frame, resume_from};

pub(crate) struct EventsApi(pub Context);

#[OpenApi(tag = "Group::Events")]
impl EventsApi {
    /// The log
    ///
    /// Your events, oldest first; an operator sees everyone's. A position that the log has not come
    /// to, as after a restore, is answered with 409.
    #[oai(path = "/events", method = "get", operation_id = "listEvents")]
    async fn list(
        &self,
        caller: Bearer,
        /// Only events after this position.
        after: Query<Option<Count>>,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<Event>>, Failure<ReadingLog>> {
        self.0.reached(&min_position).await?;
        let (after, limit) =
            (after.0.map(Count::position).unwrap_or_default(), page::limit(limit.0));
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let events = self.0.queries.events(&caller.0, after, page::one_more(limit)).await?;
        if events.is_empty() {
            reached(&self.0.queries, after).await?;
        }
        let next = |last: &RecordedEvent| format!("/events?limit={limit}&after={}", last.position);
        Ok(page::reply(&events, limit, room, Event::of, next))
    }

    /// The log as it grows
    ///
    /// Server-sent events: `id` is the position, `event` the type, `data` the event as `GET /events`
    /// shows it. It begins now, after `after`, or where `Last-Event-ID` says, and leaves nothing
    /// out. An event `reset` says that the position asked for is not in this log, and `token-expired` that
    /// your token has expired, or `session-ended` that it was ended, which ends the stream.
    #[oai(path = "/events/stream", method = "get", operation_id = "streamEvents")]
    async fn follow(
        &self,
        caller: Bearer,
        /// Begin after this position.
        after: Query<Option<Count>>,
        /// Go on after this position: sent by browsers that come back.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStream, Failure<Listing>> {
        let from = resume_from(last_event_id.0.as_ref(), after.0)?;
        let ended = self.0.stream(&caller).await?;
        let items = self.0.feed.follow(Queries::visible(&caller.0), from).await?;
        Ok(EventStream::new(items, event_frame, ended))
    }
}

/// Whoever reads after a position that the log has not come to would otherwise wait for good, or
/// miss what comes until then.
pub(super) async fn reached(queries: &Queries, after: Position) -> Result<(), Problem> {
    if after == Position::ZERO || after <= queries.progress(&[]).await?.head {
        return Ok(());
    }
    Err(Problem::new(Kind::PositionPastEnd))
}
