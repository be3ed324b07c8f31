//! A client that follows the log by position.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{Act, Answer, Deeds, Member, Seen};
use crate::client::Reply;
use crate::error::{Failure, Outcome};

const PAGE: usize = 1_000;
/// Between two looks at the end of the log.
const PAUSE: Duration = Duration::from_millis(2);

/// Where a page is.
pub(super) fn path(after: u64) -> String {
    format!("/events?limit={PAGE}&after={after}")
}

/// What a page says.
pub(super) fn answer(reply: &Reply) -> Outcome<Answer> {
    let unreadable = || Failure::new(format!("a page of the log that can't be read: {reply:?}"));
    let Value::Array(page) = &reply.body else { return Err(unreadable()) };
    let seen = |event: &Value| {
        Some(Seen {
            position: event.get("position")?.as_u64()?,
            stream: event.get("stream")?.as_str()?.to_owned(),
            version: event.get("version")?.as_u64()?,
        })
    };
    let events: Vec<_> = page.iter().map(seen).collect::<Option<_>>().ok_or_else(unreadable)?;
    let is_full = events.len() >= PAGE;
    Ok(Answer::Log { events, is_full })
}

impl Member<'_> {
    /// Reads to the end, again and again, each time from where it was, on one instance after the other.
    pub(super) fn follow(mut self, begin: u64) -> Outcome<Deeds> {
        let mut after = begin;
        loop {
            let is_over = self.shared.stop.load(Ordering::SeqCst);
            let known = self.deeds.all.len();
            self.read(Act::ReadLog { after })?;
            let page = self.deeds.all.get(known).map(|page| &page.answer);
            let Some(Answer::Log { events, is_full }) = page else { continue };
            after = events.last().map_or(after, |event| event.position);
            if *is_full {
                continue;
            }
            if is_over {
                return Ok(self.deeds);
            }
            self.client.turn();
            thread::sleep(PAUSE);
        }
    }
}
