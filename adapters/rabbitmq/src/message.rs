//! Tasks as messages.
//!
//! A task of kind `text` is a `text/plain` message of just its text: the known programs print it.
//! Every other is `application/json`, its payload byte for byte. The id is the message id, the
//! kind the message type, the second in which it was asked for the timestamp. A task with an owner,
//! a time that has not come, another than the normal priority or attempts behind it says so in
//! headers `x-daybook-…`, with instants in
//! microseconds. One that is nobody's and due has none: a classic queue takes in and hands out a
//! fifth to a third fewer messages where the properties are longer than 64 bytes. A text whose
//! JSON is spelled with escapes that are not needed carries that spelling in a header.
//!
//! A task that is in the record says so, and in whose, by the application's id: see `mark.rs`. Whoever
//! does not find it there knows that it was forgotten. One without headers then has no timestamp: it
//! takes as many bytes, and the record knows better.
//!
//! Read the other way round, plain text of any program is a task of kind `text`, and JSON with a
//! kind as its type is a task of that kind. What is neither goes to the dead letters. A message id
//! that is not a UUID makes one, always the same. Whose a task is, only a message that was recorded
//! is believed, unless it is configured.

use amqprs::{BasicProperties, DELIVERY_MODE_PERSISTENT, FieldTable, FieldValue};
use daybook_events::{
    FailedAttempt, HolderId, Lease, NewTask, Origin, Priority, TaskId, TaskKind, Timestamp,
};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

use crate::letter::Letter;
use crate::mark;
use crate::topology::{Route, insert};

/// Message ids that are not UUIDs are names in this space.
const IDS: Uuid = Uuid::from_u128(0x2c7e_94a1_5d0b_4f6e_8b13_7a60_c9d2_e485);

/// The longest body that is taken for a task.
const LONGEST_BODY: usize = 1 << 20;
/// Longer spellings, and longer headers of others, might not fit into the frame they have to.
const LONGEST_SPELLING: usize = 16 << 10;
const LONGEST_HEADERS: usize = 64 << 10;
const LONGEST_REASON: usize = 2 << 10;

const RUN_AT: &str = "x-daybook-run-at";
const CREATED_AT: &str = "x-daybook-created-at";
const OWNER: &str = "x-daybook-owner";
const SPELLING: &str = "x-daybook-payload";
const REASON: &str = "x-daybook-reason";
const ATTEMPT: &str = "x-daybook-attempt";
const PRIORITY: &str = "x-daybook-priority";
/// The attempts that failed, as a JSON array of objects with `attempt`, `at` and `reason`.
const HISTORY: &str = "x-daybook-history";

/// The task as a message, on the way to whoever does it: at once, or after its wait.
pub(crate) fn letter(task: &NewTask, now: Timestamp) -> Letter {
    // One that has failed has its pause, whatever the clocks say.
    let due = if task.history.is_empty() { task.due(now) } else { task.run_at };
    let route = Route::after(due.since(now), task.priority);
    let is_plain =
        route == Route::Work(Priority::Normal) && task.owner.is_none() && task.history.is_empty();
    let headers = if is_plain { None } else { Some(headers(task)) };
    written(task, route, headers)
}

/// A buried task as a message for people to look at.
pub(crate) fn buried(task: &NewTask, lease: &Lease, reason: &str) -> Letter {
    let mut headers = headers(task);
    insert(&mut headers, REASON, shortened(reason).into());
    insert(&mut headers, ATTEMPT, FieldValue::l(lease.attempt.into()));
    written(task, Route::Dead, Some(headers))
}

/// A task that is not done here as a message for people to look at.
pub(crate) fn refused(task: &NewTask, reason: &str) -> Letter {
    let mut headers = headers(task);
    insert(&mut headers, REASON, shortened(reason).into());
    written(task, Route::Dead, Some(headers))
}

/// A message that nobody can read, as it came, with the reason. Left out is what the broker would
/// act on: whom else to send it to, when to drop it, and the claim to be sent by somebody else.
pub(crate) fn unreadable(original: &BasicProperties, body: Vec<u8>, reason: &str) -> Letter {
    let text = |value: Option<&String>| value.cloned();
    let mut headers = original
        .headers()
        // As text it is at least about as long.
        .filter(|headers| format!("{headers:?}").len() <= LONGEST_HEADERS)
        .cloned()
        .unwrap_or_default();
    for name in ["CC", "BCC"] {
        if let Ok(name) = name.try_into() {
            headers.remove(&name);
        }
    }
    insert(&mut headers, REASON, shortened(reason).into());
    let reply_to = original.reply_to().filter(|to| !to.starts_with("amq."));
    let properties = BasicProperties::new(
        text(original.content_type()),
        text(original.content_encoding()),
        Some(headers),
        Some(DELIVERY_MODE_PERSISTENT),
        original.priority(),
        text(original.correlation_id()),
        text(reply_to),
        None,
        text(original.message_id()),
        original.timestamp(),
        text(original.message_type()),
        None,
        text(original.app_id()),
        None,
    );
    Letter { route: Route::Dead, recorded: false, properties, body }
}

/// The task that a message is, or why it is none. `priority` is that of the queue it came from; what
/// the message says counts more.
pub(crate) fn task(
    properties: &BasicProperties,
    body: &[u8],
    now: Timestamp,
    priority: Priority,
    owners: Owners,
) -> Result<NewTask, &'static str> {
    if body.len() > LONGEST_BODY {
        return Err("it is longer than 1 MiB");
    }
    let (kind, payload) = if is_json(properties) {
        let kind = properties.message_type().and_then(|kind| kind.parse().ok());
        let kind = kind.ok_or("it is JSON, and its type is not a kind of task")?;
        let payload = serde_json::from_slice::<Box<RawValue>>(body);
        (kind, payload.map_err(|_| "it is said to be JSON and is not")?)
    } else {
        (TaskKind::text(), text_payload(properties, body)?)
    };
    let is_recorded = properties.app_id().is_some_and(|id| mark::is_one(id));
    let believed = is_recorded || owners == Owners::Believed;
    Ok(NewTask {
        id: id(properties),
        owner: if believed { owner(properties)? } else { None },
        kind,
        payload,
        run_at: instant(properties, RUN_AT)?.unwrap_or(now),
        created_at: instant(properties, CREATED_AT)?.unwrap_or_else(|| asked_for(properties, now)),
        priority: named_priority(properties).unwrap_or(priority),
        unique: None,
        history: history(properties),
        origin: if is_recorded { Origin::Recorded } else { Origin::Outside },
    })
}

/// Whether it is believed whose a task of another program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owners {
    Believed,
    Ignored,
}

/// The same for each message with the same id.
fn id(properties: &BasicProperties) -> TaskId {
    let named =
        |id: &String| Uuid::parse_str(id).unwrap_or_else(|_| Uuid::new_v5(&IDS, id.as_bytes()));
    let given = properties.message_id().filter(|id| !id.is_empty());
    TaskId::from_uuid(given.map_or_else(Uuid::now_v7, named))
}

fn headers(task: &NewTask) -> FieldTable {
    let mut headers = FieldTable::new();
    insert(&mut headers, RUN_AT, FieldValue::l(task.run_at.micros()));
    insert(&mut headers, CREATED_AT, FieldValue::l(task.created_at.micros()));
    if let Some(owner) = task.owner {
        insert(&mut headers, OWNER, owner.to_string().into());
    }
    if task.priority != Priority::Normal {
        insert(&mut headers, PRIORITY, task.priority.as_str().into());
    }
    if let (false, Ok(history)) = (task.history.is_empty(), serde_json::to_string(&task.history)) {
        insert(&mut headers, HISTORY, history.into());
    }
    headers
}

fn written(task: &NewTask, route: Route, mut headers: Option<FieldTable>) -> Letter {
    let (body, content_type) = body(task, &mut headers);
    let mut properties = BasicProperties::default();
    properties
        .with_content_type(content_type)
        .with_delivery_mode(DELIVERY_MODE_PERSISTENT)
        .with_message_id(&task.id.to_string())
        .with_message_type(task.kind.as_str());
    if task.origin == Origin::Recorded {
        properties.with_app_id(mark::OF_ANY);
    }
    if task.origin == Origin::Outside || headers.is_some() {
        properties.with_timestamp(task.created_at.seconds().try_into().unwrap_or(0));
    }
    if let Some(headers) = headers {
        properties.with_headers(headers);
    }
    Letter { route, recorded: task.origin == Origin::Recorded, properties, body }
}

/// The body and its content type.
fn body(task: &NewTask, headers: &mut Option<FieldTable>) -> (Vec<u8>, &'static str) {
    const TEXT: &str = "text/plain";
    let payload = task.payload.get();
    let json = || (payload.as_bytes().to_vec(), "application/json");
    if task.kind.as_str() != TaskKind::TEXT {
        return json();
    }
    // Without escapes the text is what stands between the quotes.
    let plain = payload.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match plain {
        Some(text) if !text.contains('\\') => return (text.as_bytes().to_vec(), TEXT),
        Some(_) => {}
        None => return json(),
    }
    // Half of a surrogate pair is JSON and no text.
    let Ok(text) = serde_json::from_str::<String>(payload) else { return json() };
    if to_raw_value(&text).is_ok_and(|usual| usual.get() == payload) {
        return (text.into_bytes(), TEXT);
    }
    if payload.len() > LONGEST_SPELLING {
        return json();
    }
    insert(headers.get_or_insert_default(), SPELLING, payload.into());
    (text.into_bytes(), TEXT)
}

fn text_payload(properties: &BasicProperties, body: &[u8]) -> Result<Box<RawValue>, &'static str> {
    let text = str::from_utf8(body).map_err(|_| "it is neither UTF-8 text nor said to be JSON")?;
    if let Some(FieldValue::S(spelling)) = header(properties, SPELLING)
        && serde_json::from_str::<String>(spelling.as_ref()).is_ok_and(|spelled| spelled == text)
        && let Ok(payload) = RawValue::from_string(spelling.as_ref().clone())
    {
        return Ok(payload);
    }
    to_raw_value(text).map_err(|_| "it can't be written as JSON")
}

fn is_json(properties: &BasicProperties) -> bool {
    let content_type = properties.content_type().map_or("", String::as_str);
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || essence == "text/json" || essence.ends_with("+json")
}

fn header<'a>(properties: &'a BasicProperties, name: &'static str) -> Option<&'a FieldValue> {
    properties.headers()?.get(&name.try_into().ok()?)
}

fn owner(properties: &BasicProperties) -> Result<Option<HolderId>, &'static str> {
    const WRONG: &str = "its x-daybook-owner is not a UUID";
    match header(properties, OWNER) {
        None => Ok(None),
        Some(FieldValue::S(owner)) => {
            let owner = Uuid::parse_str(owner.as_ref()).map_err(|_| WRONG)?;
            Ok(Some(HolderId::from_uuid(owner)))
        }
        Some(_) => Err(WRONG),
    }
}

fn named_priority(properties: &BasicProperties) -> Option<Priority> {
    match header(properties, PRIORITY)? {
        FieldValue::S(name) => Priority::from_name(name.as_ref()),
        _ => None,
    }
}

/// What nobody can read is left out: the record knows better.
fn history(properties: &BasicProperties) -> Vec<FailedAttempt> {
    match header(properties, HISTORY) {
        Some(FieldValue::S(json)) => serde_json::from_str(json.as_ref()).unwrap_or_default(),
        _ => Vec::new(),
    }
}

fn instant(
    properties: &BasicProperties,
    name: &'static str,
) -> Result<Option<Timestamp>, &'static str> {
    let micros = match header(properties, name) {
        None => return Ok(None),
        Some(FieldValue::l(micros)) => *micros,
        // As other programs' libraries write numbers that are small.
        Some(FieldValue::I(micros)) => (*micros).into(),
        Some(FieldValue::i(micros)) => (*micros).into(),
        Some(FieldValue::s(micros)) => (*micros).into(),
        Some(FieldValue::u(micros)) => (*micros).into(),
        Some(FieldValue::b(micros)) => (*micros).into(),
        Some(FieldValue::B(micros)) => (*micros).into(),
        Some(_) => return Err("an instant in its headers is not a number of microseconds"),
    };
    Ok(Some(Timestamp::from_micros(micros)))
}

/// When a message says it was made; never later than now, whatever the clock or the unit of whoever
/// made it.
fn asked_for(properties: &BasicProperties, now: Timestamp) -> Timestamp {
    let seconds = properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
    let micros = seconds.and_then(|seconds| seconds.checked_mul(1_000_000));
    micros.map_or(now, |micros| Timestamp::from_micros(micros).min(now))
}

/// At most so much of it as fits.
fn shortened(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(LONGEST_REASON)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
