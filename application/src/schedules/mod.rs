//! Tasks that are due again and again, by schedules of cron patterns.
//!
//! Every instance follows the schedules by its own clock. A tick names its task: the task's id is
//! worked out from the schedule's name and the tick, so that the log takes it once, whoever asks and
//! however often. Nothing else is agreed on between instances. What is stored is since when a pattern is
//! known under a name: no tick before that is caught up.

mod schedule;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use daybook_events::{Clock, ScheduleRecords, Timestamp};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{CommandError, Commands, Receipt};

pub use schedule::{InvalidSchedule, Schedule};

/// How long it is slept at most: the clock may be set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);
/// How long after a failure it is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// How late a tick may be while the process runs, whatever the schedule says.
const LATEST: Duration = Duration::from_mins(1);

/// Puts the tasks of schedules on the queue when they are due.
pub struct Scheduler {
    commands: Commands,
    records: Arc<dyn ScheduleRecords>,
    clock: Arc<dyn Clock>,
    schedules: Vec<Schedule>,
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("schedules", &self.schedules).finish_non_exhaustive()
    }
}

impl Scheduler {
    /// Follows these schedules.
    pub fn new(
        commands: Commands,
        records: Arc<dyn ScheduleRecords>,
        clock: Arc<dyn Clock>,
        schedules: Vec<Schedule>,
    ) -> Self {
        Self { commands, records, clock, schedules }
    }

    /// Runs until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let mut following = JoinSet::new();
        for schedule in self.schedules {
            let (commands, records) = (self.commands.clone(), Arc::clone(&self.records));
            let follower = Follower { commands, records, clock: Arc::clone(&self.clock), schedule };
            let stop = stop.clone();
            following.spawn(async move { stop.run_until_cancelled(follower.follow()).await });
        }
        // Whoever runs without schedules runs all the same.
        stop.cancelled().await;
        while following.join_next().await.is_some() {}
    }
}

/// Follows one schedule.
struct Follower {
    commands: Commands,
    records: Arc<dyn ScheduleRecords>,
    clock: Arc<dyn Clock>,
    schedule: Schedule,
}

impl Follower {
    async fn follow(self) {
        let Self { clock, schedule, .. } = &self;
        let known_since = self.known_since().await;
        // What was missed while nobody ran.
        let mut seen = clock.now().minus(schedule.catch_up()).max(known_since);
        loop {
            let now = clock.now();
            seen = seen.max(now.minus(schedule.catch_up().max(LATEST)));
            let due = schedule.last_tick(now).filter(|tick| *tick > seen);
            let asked = match due {
                Some(tick) => self.fire(tick).await,
                None => Ok(()),
            };
            let sleep = match asked {
                Ok(()) => {
                    seen = due.unwrap_or(seen);
                    let next = schedule.next_tick(clock.now());
                    next.map_or(LONGEST_SLEEP, |next| next.since(clock.now()))
                }
                Err(error) => {
                    let name = schedule.name();
                    tracing::warn!(name, %error, "a schedule's task could not be asked for; it is tried again");
                    PAUSE
                }
            };
            tokio::time::sleep(sleep.min(LONGEST_SLEEP)).await;
        }
    }

    /// Asks until there is an answer.
    async fn known_since(&self) -> Timestamp {
        let (name, pattern) = (self.schedule.name(), self.schedule.pattern());
        let now = self.clock.now();
        loop {
            match self.records.known_since(name, pattern, now).await {
                Ok(since) => return since,
                Err(error) => {
                    tracing::warn!(name, %error, "since when a schedule is known can't be found out; it is tried again");
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn fire(&self, tick: Timestamp) -> Result<(), CommandError> {
        let schedule = &self.schedule;
        let (id, name) = (schedule.task_id(tick), schedule.name());
        let (kind, payload) = (schedule.kind().clone(), schedule.payload().to_owned());
        let outcome = self.commands.request_tick(id, kind, payload, tick).await?;
        if matches!(outcome.result, Ok(Receipt::TaskAccepted(_))) {
            tracing::info!(name, task_id = %id, %tick, "a schedule's task is on the queue");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
