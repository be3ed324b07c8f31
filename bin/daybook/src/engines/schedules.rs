//! The file of schedules.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use daybook_application::{EmailHandler, Schedule, TextHandler};
use daybook_events::{TaskKind, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::startup::StartupError;

/// One schedule, as the file has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    cron: String,
    kind: TaskKind,
    payload: Box<RawValue>,
    #[serde(default)]
    catch_up: Option<String>,
}

impl Entry {
    fn read(self, now: Timestamp) -> Result<Schedule, String> {
        let fault = match self.kind.as_str() {
            TaskKind::SEND_EMAIL => EmailHandler::fault(self.payload.get()),
            TaskKind::TEXT => TextHandler::fault(self.payload.get()),
            _ => None,
        };
        if let Some(fault) = fault {
            return Err(format!("payload: {fault}"));
        }
        let catch_up = match self.catch_up {
            None => Schedule::CATCH_UP,
            Some(text) => humantime::parse_duration(&text)
                .map_err(|error| format!("catch_up: {error}, as in 6h"))?,
        };
        if catch_up > LONGEST_CATCH_UP {
            return Err("catch_up: is more than 366 days".to_owned());
        }
        Schedule::new(&self.name, &self.cron, self.kind, self.payload, catch_up, now)
            .map_err(|error| error.to_string())
    }
}

const LONGEST_CATCH_UP: Duration = Duration::from_hours(366 * 24);

/// The schedules in a file: a JSON list. Without a file there are none.
pub(crate) fn schedules(
    file: Option<&Path>,
    now: Timestamp,
) -> Result<Vec<Schedule>, StartupError> {
    let Some(file) = file.filter(|file| !file.as_os_str().is_empty()) else {
        return Ok(Vec::new());
    };
    let wrong = |reason: String| StartupError::Schedules(file.to_owned(), reason);
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    read(&text, now).map_err(wrong)
}

fn read(text: &str, now: Timestamp) -> Result<Vec<Schedule>, String> {
    let entries: Vec<Entry> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut names = HashSet::new();
    let read = |entry: Entry| {
        let name = entry.name.clone();
        if !names.insert(name.clone()) {
            return Err(format!("there are two schedules named {name}"));
        }
        entry.read(now).map_err(|error| format!("schedule {name}: {error}"))
    };
    entries.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Schedule>, String> {
        super::read(text, Timestamp::from_micros(0))
    }

    #[test]
    fn a_list_of_schedules_is_read() {
        let text = r#"[
            {"name": "nightly", "cron": "30 3 * * *", "kind": "text", "payload": "Good night", "catch_up": "6h"},
            {"name": "weekly", "cron": "0 9 * * 1", "kind": "report", "payload": {"of": "week"}}
        ]"#;
        let schedules = read(text).unwrap();
        let seen: Vec<_> = schedules.iter().map(|s| (s.name(), s.catch_up())).collect();
        let expected = [("nightly", Duration::from_hours(6)), ("weekly", Duration::from_hours(1))];
        assert_eq!(seen, expected);
        assert!(read("[]").unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_said_with_the_name_of_the_schedule() {
        let one = |cron: &str, kind: &str, payload: &str, more: &str| {
            let text = format!(
                r#"{{"name": "n", "cron": "{cron}", "kind": "{kind}", "payload": {payload}{more}}}"#
            );
            read(&format!("[{text}]")).unwrap_err()
        };
        assert!(one("x", "text", "\"\"", "").starts_with("schedule n: the cron pattern"));
        assert!(one("* * * * *", "text", "1", "").starts_with("schedule n: payload"));
        assert!(one("* * * * *", "Text", "1", "").contains("a kind of task"));
        assert!(one("* * * * *", "text", "\"\"", r#","catch_up":"x""#).contains("catch_up"));
        assert!(one("* * * * *", "text", "\"\"", r#","zone":"CET""#).contains("zone"));
        let twice = r#"{"name": "n", "cron": "* * * * *", "kind": "k", "payload": 1}"#;
        assert!(read(&format!("[{twice},{twice}]")).unwrap_err().contains("two schedules named n"));
    }
}
