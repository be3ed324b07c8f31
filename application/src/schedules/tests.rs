//! Instances that follow schedules over one log, with time passing as fast as nothing happens.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use async_trait::async_trait;
use daybook_accounts::MockHolderRepository;
use daybook_events::{MockTaskRepository, QueueError, RecordedEvent, TaskKind};
use serde_json::value::RawValue;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::*;
use crate::fakes::{FakeStore, Fate};
use crate::{Appender, AppenderSettings, Passwords, Ports, Reads};

/// Goes with the runtime's time.
struct PassingClock {
    began: Instant,
    at: Timestamp,
}

impl Clock for PassingClock {
    fn now(&self) -> Timestamp {
        self.at.plus(self.began.elapsed())
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn schedule(cron: &str, catch_up: Duration) -> Schedule {
    let payload = RawValue::NULL.to_owned();
    Schedule::new("nightly", cron, TaskKind::text(), payload, catch_up, at("2026-11-25T00:00:00Z"))
        .unwrap()
}

/// Knows patterns since they were first told of, or since ever.
#[derive(Default)]
struct Known {
    since_ever: bool,
    patterns: Mutex<HashMap<String, (String, Timestamp)>>,
}

#[async_trait]
impl ScheduleRecords for Known {
    async fn known_since(
        &self,
        name: &str,
        pattern: &str,
        now: Timestamp,
    ) -> Result<Timestamp, QueueError> {
        if self.since_ever {
            return Ok(Timestamp::from_micros(0));
        }
        let mut patterns = self.patterns.lock().unwrap();
        let known = patterns.entry(name.to_owned()).or_insert((pattern.to_owned(), now));
        if known.0 != pattern {
            *known = (pattern.to_owned(), now);
        }
        Ok(known.1)
    }
}

/// A process that follows a schedule.
struct Instance {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Instance {
    fn start(store: &Arc<FakeStore>, began: Timestamp, schedule: Schedule) -> Self {
        let known = Arc::new(Known { since_ever: true, ..Known::default() });
        Self::start_with(store, &known, began, schedule)
    }

    fn start_with(
        store: &Arc<FakeStore>,
        known: &Arc<Known>,
        began: Timestamp,
        schedule: Schedule,
    ) -> Self {
        let clock = Arc::new(PassingClock { began: Instant::now(), at: began });
        let ports = Ports {
            journal: Arc::clone(store) as _,
            accounts: Arc::clone(store) as _,
            orders: Arc::clone(store) as _,
            holders: Arc::new(MockHolderRepository::new()),
            tasks: Arc::new(MockTaskRepository::new()),
            clock: Arc::clone(&clock) as _,
            ids: Arc::clone(store.ids()) as _,
        };
        let few = NonZeroUsize::MIN.saturating_add(7);
        let settings = AppenderSettings { queue: few, batch: few, states: few, decisions: 8 };
        let reads = Reads::new(Arc::clone(store) as _, Arc::clone(store) as _, None);
        let (appender, task) = Appender::new(ports, settings, reads, crate::fakes::tail(64));
        tokio::spawn(task.run());
        let commands = Commands::new(
            appender,
            Passwords::new(1),
            Arc::new(MockHolderRepository::new()),
            Arc::clone(&clock) as _,
            Arc::clone(store.ids()) as _,
        );
        let stop = CancellationToken::new();
        let scheduler = Scheduler::new(commands, Arc::clone(known) as _, clock, vec![schedule]);
        Self { running: tokio::spawn(scheduler.run(stop.clone())), stop }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

fn times(events: &[RecordedEvent]) -> Vec<Timestamp> {
    let read = |event: &RecordedEvent| {
        assert_eq!(event.event_type, "TaskRequested");
        event.data.read::<daybook_events::TaskRequested>().unwrap().run_at
    };
    events.iter().map(read).collect()
}

#[tokio::test(start_paused = true)]
async fn each_tick_has_one_task_however_many_instances_there_are() {
    let store = Arc::new(FakeStore::new());
    let began = at("2026-11-25T03:28:30Z");
    let every_minute = || schedule("* * * * *", Duration::ZERO);
    let instances = [
        Instance::start(&store, began, every_minute()),
        // Its clock is a little ahead.
        Instance::start(&store, began.plus(Duration::from_secs(2)), every_minute()),
    ];
    sleep(Duration::from_secs(190)).await;
    let ticks = ["2026-11-25T03:29:00Z", "2026-11-25T03:30:00Z", "2026-11-25T03:31:00Z"].map(at);
    assert_eq!(times(&store.events()), ticks);
    for instance in instances {
        instance.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_missed_ticks_the_last_is_caught_up_once_unless_it_is_too_long_ago() {
    let store = Arc::new(FakeStore::new());
    let began = at("2026-11-25T03:40:00Z");
    let late = Instance::start(&store, began, schedule("30 3 * * *", Duration::from_mins(5)));
    sleep(Duration::from_mins(2)).await;
    late.stop().await;
    assert!(store.events().is_empty());
    for _ in 0..2 {
        let hourly = schedule("30 * * * *", Duration::from_hours(6));
        let instance = Instance::start(&store, began, hourly);
        sleep(Duration::from_mins(2)).await;
        instance.stop().await;
    }
    assert_eq!(times(&store.events()), [at("2026-11-25T03:30:00Z")]);
}

#[tokio::test(start_paused = true)]
async fn a_tick_that_could_not_be_written_is_tried_again_and_written_once() {
    let store = Arc::new(FakeStore::new());
    store.fated([Fate::Unavailable, Fate::LostBefore, Fate::LostAfter]);
    let began = at("2026-11-25T03:29:59Z");
    let instance = Instance::start(&store, began, schedule("30 3 * * *", Duration::ZERO));
    sleep(Duration::from_mins(2)).await;
    assert_eq!(times(&store.events()), [at("2026-11-25T03:30:00Z")]);
    instance.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_tick_fires_that_was_before_its_pattern_was_known() {
    let (store, known) = (Arc::new(FakeStore::new()), Arc::new(Known::default()));
    let hours = Duration::from_hours(6);
    let run = async |began: &str, cron: &str| {
        let instance = Instance::start_with(&store, &known, at(began), schedule(cron, hours));
        sleep(Duration::from_mins(2)).await;
        instance.stop().await;
    };
    // New, edited, and as it was again.
    run("2026-11-25T03:40:00Z", "30 * * * *").await;
    run("2026-11-25T03:45:00Z", "35 * * * *").await;
    run("2026-11-25T03:50:00Z", "30 * * * *").await;
    assert!(store.events().is_empty());
    // What was missed since then is caught up.
    run("2026-11-25T04:40:00Z", "30 * * * *").await;
    assert_eq!(times(&store.events()), [at("2026-11-25T04:30:00Z")]);
}
