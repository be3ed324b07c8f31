//! Relays: follow the log in order and hand it on, each to one place outside.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use daybook_events::{Election, EventFilter, Journal, JournalError, Lead, Position, RecordedEvent};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{Row, Tail, TroubleLog};

/// How many events are handed on at a time, at most.
pub(crate) const BATCH: usize = 2_048;
/// How many bytes they may take, at most, but for the last of them.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// A commit wakes the relay, also one of another process where the engine tells of it; this is for
/// what nobody tells of.
const POLL: Duration = Duration::from_millis(250);
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);
/// How often the lead is looked for by those who do not have it.
const ELECTION_EVERY: Duration = Duration::from_millis(500);
/// How often whoever has the lead looks whether it is still held.
const LEAD_CHECK_EVERY: Duration = Duration::from_secs(2);
/// How long the lead is left to others after a failure.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

/// Where a relay hands events on to.
#[async_trait]
pub trait Destination: Send + Sync {
    /// Takes events that are in the log: consecutive, in order, and possibly again.
    ///
    /// # Errors
    /// Why they could not be taken; they are handed on again, here or by another instance.
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String>;

    /// Is called now and then while there is nothing to take, by whoever leads.
    ///
    /// # Errors
    /// What went wrong; the lead is given away.
    async fn idle(&self) -> Result<(), String> {
        Ok(())
    }
}

/// Hands every event on to one destination, in order, at least once. Of all instances one does it at
/// a time; where it fails, or can't reach the destination, another takes over.
pub struct Relay {
    name: &'static str,
    journal: Arc<dyn Journal<Row>>,
    election: Arc<dyn Election>,
    destination: Arc<dyn Destination>,
    tail: Arc<Tail>,
    trouble: Mutex<TroubleLog>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Relay {
    /// A relay from this journal to this destination. Its progress and its lead have this name.
    /// `tail` spares it reading back what this process has just committed.
    pub fn new(
        name: &'static str,
        journal: Arc<dyn Journal<Row>>,
        election: Arc<dyn Election>,
        destination: Arc<dyn Destination>,
        tail: Arc<Tail>,
    ) -> Self {
        let trouble = Mutex::new(TroubleLog::new(format!("the relay {name}")));
        Self { name, journal, election, destination, tail, trouble }
    }

    /// Runs until `stop`, and remembers how far it came.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let pause = match self.election.try_lead(self.name).await {
                Ok(Some(lead)) => match self.lead(lead, &stop).await {
                    Ok(()) => continue,
                    Err(reason) => {
                        self.look(Some(&reason));
                        PAUSE_AFTER_ERROR
                    }
                },
                Ok(None) => ELECTION_EVERY,
                Err(error) => {
                    self.look(Some(&error));
                    PAUSE_AFTER_ERROR
                }
            };
            stop.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
    }

    /// Hands on for as long as the lead is held and nothing fails. The lead is given up at the end.
    async fn lead(&self, lead: Box<dyn Lead>, stop: &CancellationToken) -> Result<(), String> {
        let checkpoint = self.journal.checkpoint(self.name).await;
        let mut progress = Progress::from(checkpoint.map_err(|error| error.to_string())?);
        let ended = self.hand_on_while_held(lead, stop, &mut progress).await;
        progress.save(self).await;
        ended
    }

    async fn hand_on_while_held(
        &self,
        mut lead: Box<dyn Lead>,
        stop: &CancellationToken,
        progress: &mut Progress,
    ) -> Result<(), String> {
        let mut commits = self.tail.commits();
        let (mut checked, mut ahead) = (Instant::now(), None);
        while !stop.is_cancelled() {
            let events = match ahead.take() {
                Some(events) => events,
                None => self.after(progress.position).await?,
            };
            if let Some(last) = events.last().map(|event| event.position) {
                // What comes next is read while these are taken.
                let (taken, next) = tokio::join!(self.destination.take(&events), self.after(last));
                taken?;
                self.look(None);
                progress.position = last;
                ahead = next.ok().filter(|events| !events.is_empty());
            } else {
                self.destination.idle().await?;
                let wake = async { tokio::time::timeout(POLL, commits.changed()).await };
                if let Some(Ok(Err(_))) = stop.run_until_cancelled(wake).await {
                    // No one commits here any more; the poll goes on.
                    stop.run_until_cancelled(tokio::time::sleep(POLL)).await;
                }
            }
            if progress.saved_at.elapsed() >= CHECKPOINT_EVERY {
                progress.save(self).await;
            }
            if checked.elapsed() >= LEAD_CHECK_EVERY {
                if !lead.is_held().await {
                    return Err("the lead was lost".to_owned());
                }
                checked = Instant::now();
            }
        }
        Ok(())
    }

    /// Takes a note of why it stands still, or that it does not.
    fn look(&self, trouble: Option<&dyn std::fmt::Display>) {
        let stands = trouble.map(|trouble| format!("it stands still: {trouble}"));
        let mut log = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        log.look(stands.as_ref().map(|stands| stands as _));
    }

    /// Some of what comes after `position`.
    async fn after(&self, position: Position) -> Result<Vec<Arc<RecordedEvent>>, String> {
        let events = next_events(&*self.journal, &self.tail, position).await;
        events.map_err(|error| error.to_string())
    }
}

/// How far a relay has come.
struct Progress {
    position: Position,
    saved: Position,
    saved_at: Instant,
}

impl Progress {
    fn from(position: Position) -> Self {
        Self { position, saved: position, saved_at: Instant::now() }
    }

    async fn save(&mut self, relay: &Relay) {
        self.saved_at = Instant::now();
        if self.position <= self.saved {
            return;
        }
        match relay.journal.save_checkpoint(relay.name, self.position).await {
            Ok(()) => self.saved = self.position,
            Err(error) => {
                let relay = relay.name;
                tracing::warn!(relay, %error, "a checkpoint was not saved; events will be handed on again");
            }
        }
    }
}

/// Some of what comes after `position`, from memory where it is there, and nothing that this process
/// has committed and not yet told the cache of.
pub(crate) async fn next_events(
    journal: &dyn Journal<Row>,
    tail: &Tail,
    position: Position,
) -> Result<Vec<Arc<RecordedEvent>>, JournalError> {
    if let Some(events) = tail.after(position, BATCH, BATCH_BYTES)
        && !events.is_empty()
    {
        return Ok(events);
    }
    let limit = u32::try_from(BATCH).unwrap_or(u32::MAX);
    let bytes = u64::try_from(BATCH_BYTES).unwrap_or(u64::MAX);
    let mut events = journal.read_within(&EventFilter::All, position, limit, bytes).await?;
    tail.cut_what_is_in_hand(&mut events);
    Ok(events.into_iter().map(Arc::new).collect())
}

#[cfg(test)]
mod tests;
