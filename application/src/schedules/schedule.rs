//! A schedule: when, and what.

use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use daybook_events::{TaskId, TaskKind, Timestamp};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

/// Ids of tasks of schedules are names in this space.
const SPACE: Uuid = Uuid::from_u128(0x6f1d_1d7e_9b0a_4c53_8a44_b1e0_6f53_2c19);

/// A task that is due again and again.
#[derive(Clone, Debug)]
pub struct Schedule {
    name: String,
    pattern: String,
    cron: Cron,
    kind: TaskKind,
    payload: Box<RawValue>,
    catch_up: Duration,
}

/// Why something can't be a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSchedule {
    /// The name.
    #[error("a schedule's name has 1 to 100 letters, digits, dots, underscores or hyphens")]
    Name,
    /// The pattern.
    #[error("the cron pattern can't be understood: {0}")]
    Pattern(String),
    /// The pattern never comes true any more.
    #[error("the cron pattern names no time that ever comes")]
    Never,
    /// A step is longer than what it divides.
    #[error("the cron pattern's step /{0} is longer than its field: there are only {1}")]
    Step(u32, u32),
}

impl Schedule {
    /// How late a tick is caught up where nothing else is said.
    pub const CATCH_UP: Duration = Duration::from_hours(1);

    /// A schedule. `cron` is minute, hour, day, month and day of the week, in UTC; with a second
    /// before them it has six fields. Of the ticks that were missed while nobody ran, the last is
    /// caught up if it is not longer ago than `catch_up`. Another name makes it another schedule. It
    /// must have a tick after `now`.
    ///
    /// # Errors
    /// [`InvalidSchedule`].
    pub fn new(
        name: &str,
        cron: &str,
        kind: TaskKind,
        payload: Box<RawValue>,
        catch_up: Duration,
        now: Timestamp,
    ) -> Result<Self, InvalidSchedule> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
        if !(1..=100).contains(&name.len()) || !name.bytes().all(legal) {
            return Err(InvalidSchedule::Name);
        }
        let pattern = cron.split_whitespace().collect::<Vec<_>>().join(" ");
        let cron: Cron = cron.parse().map_err(|error: croner::errors::CronError| {
            InvalidSchedule::Pattern(error.to_string())
        })?;
        check_steps(&pattern)?;
        let schedule = Self { name: name.to_owned(), pattern, cron, kind, payload, catch_up };
        match schedule.next_tick(now) {
            Some(_) => Ok(schedule),
            None => Err(InvalidSchedule::Never),
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The pattern, its fields one blank apart.
    pub fn pattern(&self) -> &str {
        &self.pattern
    }

    /// What its tasks are about.
    pub const fn kind(&self) -> &TaskKind {
        &self.kind
    }

    /// What the handler of that kind needs.
    pub fn payload(&self) -> &RawValue {
        &self.payload
    }

    /// How late a missed tick is caught up.
    pub const fn catch_up(&self) -> Duration {
        self.catch_up
    }

    /// The last tick up to and with an instant.
    pub fn last_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_previous_occurrence(&date_time(now)?, true).ok()?;
        Some(Timestamp::from_micros(found.timestamp_micros()))
    }

    /// The first tick after an instant.
    pub fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let found = self.cron.find_next_occurrence(&date_time(now)?, false).ok()?;
        Some(Timestamp::from_micros(found.timestamp_micros()))
    }

    /// The task of a tick: the same, whoever works it out.
    pub fn task_id(&self, tick: Timestamp) -> TaskId {
        // A tick is a whole second, and its name has no fraction: ids that were made are kept.
        let at = tick.to_string().replace(".000000Z", "Z");
        let name = format!("{} {at}", self.name);
        TaskId::from_uuid(Uuid::new_v5(&SPACE, name.as_bytes()))
    }
}

/// How many values there are of a second, minute, hour, day, month and day of the week.
const VALUES: [u32; 6] = [60, 60, 24, 31, 12, 7];

/// A step that is longer than its field would leave one value of it, as if there were none.
fn check_steps(pattern: &str) -> Result<(), InvalidSchedule> {
    let fields: Vec<_> = pattern.split(' ').collect();
    // Five fields have no second. A seventh is the year.
    let values = VALUES.iter().skip(usize::from(fields.len() == 5));
    for (field, values) in fields.iter().zip(values) {
        for item in field.split(',') {
            let step = item.split_once('/').and_then(|(_, step)| step.parse::<u32>().ok());
            if let Some(step) = step.filter(|step| step > values) {
                return Err(InvalidSchedule::Step(step, *values));
            }
        }
    }
    Ok(())
}

/// The whole second that an instant is in: patterns know nothing finer.
fn date_time(at: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str) -> Result<Schedule, InvalidSchedule> {
        let payload = RawValue::NULL.to_owned();
        let now = at("2026-11-25T00:00:00Z");
        Schedule::new("nightly", cron, TaskKind::text(), payload, Schedule::CATCH_UP, now)
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn ticks_are_counted_in_utc() {
        let nightly = schedule("30 3 * * *").unwrap();
        let tick = at("2026-11-25T03:30:00Z");
        for now in ["2026-11-25T03:30:00Z", "2026-11-25T03:30:00.9Z", "2026-11-26T03:29:59.999Z"] {
            assert_eq!(nightly.last_tick(at(now)), Some(tick), "{now}");
            assert_eq!(nightly.next_tick(at(now)), Some(at("2026-11-26T03:30:00Z")), "{now}");
        }
        assert_eq!(nightly.next_tick(at("2026-11-25T03:29:59.999Z")), Some(tick));
        let often = schedule("*/2 * * * * *").unwrap();
        assert_eq!(often.next_tick(tick), Some(at("2026-11-25T03:30:02Z")));
    }

    #[test]
    fn a_tick_has_one_task() {
        let (one, other) = (schedule("30 3 * * *").unwrap(), schedule("0 * * * *").unwrap());
        let (tick, next) = (at("2026-11-25T03:30:00Z"), at("2026-11-26T03:30:00Z"));
        assert_eq!(one.task_id(tick), other.task_id(tick));
        let made_before = Uuid::new_v5(&SPACE, b"nightly 2026-11-25T03:30:00Z");
        assert_eq!(one.task_id(tick), TaskId::from_uuid(made_before));
        assert_ne!(one.task_id(tick), one.task_id(next));
        let renamed = Schedule { name: "daily".to_owned(), ..one.clone() };
        assert_ne!(one.task_id(tick), renamed.task_id(tick));
    }

    #[test]
    fn what_never_comes_or_makes_no_sense_is_no_schedule() {
        for cron in ["", "nightly", "* * *", "61 * * * *"] {
            assert!(matches!(schedule(cron), Err(InvalidSchedule::Pattern(_))), "{cron}");
        }
        for cron in ["0 0 30 2 *", "0 0 0 1 1 * 2020", "0 0 0 24 11 * 2026"] {
            assert_eq!(schedule(cron).unwrap_err(), InvalidSchedule::Never, "{cron}");
        }
        assert!(schedule("0 0 0 26 11 * 2026").is_ok());
        for (cron, step, values) in [
            ("*/61 * * * *", 61, 60),
            ("*/61 * * * * *", 61, 60),
            ("0 1,0-12/25 * * *", 25, 24),
            ("0 0 */32 * *", 32, 31),
            ("0 0 1 1/13 *", 13, 12),
            ("0 0 * * */8", 8, 7),
        ] {
            let refused = schedule(cron).unwrap_err();
            let wrong = InvalidSchedule::Step(step, values);
            assert!(
                refused == wrong || matches!(refused, InvalidSchedule::Pattern(_)),
                "{cron}: {refused}"
            );
        }
        assert!(schedule("*/60 */24 * * *").is_ok_and(|s| s.pattern() == "*/60 */24 * * *"));
        for name in ["", "a b", &"n".repeat(101)] {
            let named = Schedule::new(
                name,
                "* * * * *",
                TaskKind::text(),
                RawValue::NULL.to_owned(),
                Schedule::CATCH_UP,
                at("2026-11-25T00:00:00Z"),
            );
            assert_eq!(named.unwrap_err(), InvalidSchedule::Name);
        }
    }
}
