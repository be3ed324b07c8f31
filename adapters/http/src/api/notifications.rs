//! Messages to whoever listens.

use daybook_events::{EventFilter, Message, Topic};
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Query};

use super::{Context, Group, receipt};
use crate::auth::Bearer;
use crate::body::Body;
use crate::document::{NewNotification, Notification};
use crate::problem::{Failure, Listing, Making, Problem};
use crate::reply::Written;
use crate::request;
use crate::scalars::{Count, Key};
use crate::sse::{EventStream, notification_frame, resume_from};

pub(crate) struct NotificationsApi(pub Context);

#[OpenApi(tag = "Group::Notifications")]
impl NotificationsApi {
    /// Publish a message
    ///
    /// To everyone who listens on its topic, now or when they come back.
    #[oai(path = "/notifications", method = "post", operation_id = "publishNotification")]
    async fn publish(
        &self,
        caller: Bearer,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<NewNotification>,
    ) -> Result<Written<202, Notification>, Failure<Making>> {
        let NewNotification { message, topic } = body.value;
        let topic = match topic {
            Some(topic) => topic.parse().map_err(|error| Problem::field("topic", error))?,
            None => Topic::default(),
        };
        let message = Message::new(message)
            .ok_or_else(|| Problem::field("message", "must have 1 to 32768 bytes"))?;
        let understood = (&topic, &message);
        let request = request::of(request, key.0.as_ref(), "publishNotification", &understood);
        let outcome = self.0.commands.publish(Some(&caller.0), topic, message, request).await?;
        receipt(&outcome)?;
        Ok(Written::new(&outcome, &Notification { position: Count(outcome.position.get()) }))
    }

    /// Listen on a topic
    ///
    /// Server-sent events: `id` is the position, `data` an object with `topic`, `message` and
    /// `timestamp`. It begins now, or where `Last-Event-ID` says, and leaves nothing out. An event
    /// `reset` says that the position asked for is not in this log, and `token-expired` that your token has
    /// expired, or `session-ended` that it was ended, which ends the stream.
    #[oai(path = "/notifications/stream", method = "get", operation_id = "streamNotifications")]
    async fn follow(
        &self,
        caller: Bearer,
        /// The topic; `notifications` where it isn't given.
        topic: Query<Option<String>>,
        /// Go on after this position: sent by browsers that come back.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStream, Failure<Listing>> {
        let topic: Topic = match topic.0 {
            Some(topic) => topic.parse().map_err(|error| Problem::parameter("topic", error))?,
            None => Topic::default(),
        };
        let from = resume_from(last_event_id.0.as_ref(), None)?;
        let ended = self.0.stream(&caller).await?;
        let items = self.0.feed.follow(EventFilter::Stream(topic.stream()), from).await?;
        Ok(EventStream::new(items, notification_frame, ended))
    }
}
