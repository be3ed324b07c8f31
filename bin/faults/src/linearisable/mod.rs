//! Whether what clients were told can be explained by one order of events, for each account and order:
//! linearisability.
//!
//! A search for such an order (as porcupine or stateright do it) takes time that grows exponentially with
//! the commands that were under way at once, and a crash leaves many under way for ever. It is not needed:
//! Daybook says itself what the order was. Acknowledgements carry positions, reads carry versions, and the
//! log can be read. So the order is given, and what is left to check is exact and quick:
//!
//! - every acknowledged command is in the log where it was said to be, once, and nothing is in the log
//!   that nobody asked for; what was never answered is there at most once;
//! - every read shows what the log says of its version;
//! - every refusal was right in some state that it may have seen;
//! - what began after something else had ended saw that, or something later;
//! - whoever reads the log by position saw every event of it, and no end of it before something that was
//!   acknowledged by then;
//! - whoever listens heard every notification, those of a topic in their order.

mod log;
mod object;
mod order;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::crowd::{Act, Answer, Deed, Deeds};
use crate::error::{Failure, Outcome, ensure};
use log::Log;
use object::{Object, State, Status};

/// Checks what a crowd was told against the log from when the crowd began. Answers how many objects
/// there were.
///
/// # Errors
/// What has no explanation.
pub fn check(deeds: &Deeds, events: &[Value]) -> Outcome<usize> {
    let log = Log::read(events)?;
    let mut objects = objects(deeds, &log)?;
    let mut unknown: Vec<&Deed> = Vec::new();
    let mut claimed = BTreeSet::new();
    for deed in &deeds.all {
        match &deed.answer {
            Answer::Done { position, id } => {
                let effect = effect(deed, id.as_deref(), *position, deeds, &log)?;
                ensure(claimed.insert(effect.head), || {
                    format!("{deed:?} shares its event with another")
                })?;
                wrote(&mut objects, &log, deed, &effect, true);
            }
            Answer::Unknown => unknown.push(deed),
            Answer::Account { cents, version } => {
                let name = format!("account-{}", account(deeds, deed)?);
                saw(&mut objects, &name, deed, *version, |state| state.cents == *cents)?;
            }
            Answer::Order { status, version } => {
                let name = format!("order-{}", order(deed)?);
                saw(&mut objects, &name, deed, *version, |state| state.status.name() == status)?;
            }
            Answer::Refused(reason) => refused(&mut objects, deeds, deed, reason)?,
            // Nobody knows of anything before it was acknowledged.
            Answer::Missing => {
                return Err(Failure::new(format!("acknowledged before, and missing: {deed:?}")));
            }
            Answer::Log { .. } => {}
        }
    }
    unknown.sort_by_key(|deed| deed.asked);
    for effect in unclaimed(&log, &claimed) {
        let at = unknown.iter().position(|deed| may_be(deed, &effect, deeds, &log));
        let at = at.ok_or_else(|| {
            Failure::new(format!("nobody asked for what is at position {}", effect.head))
        })?;
        let deed = unknown.swap_remove(at);
        unknown.sort_by_key(|deed| deed.asked);
        wrote(&mut objects, &log, deed, &effect, false);
    }
    objects.values_mut().try_for_each(Object::check)?;
    order::check_readers(deeds, &log)?;
    order::check_listener(deeds)?;
    Ok(objects.len())
}

/// Where a command stands in the log: the event that names it, and one that goes with it.
struct Effect {
    head: u64,
    places: Vec<u64>,
}

/// What every object was like at each of its versions.
fn objects<'a>(deeds: &Deeds, log: &Log) -> Outcome<BTreeMap<String, Object<'a>>> {
    let known: BTreeSet<_> = deeds.accounts.iter().map(|id| format!("account-{id}")).collect();
    let mut objects = BTreeMap::new();
    for name in log.names() {
        if known.contains(name) || name.starts_with("order-") {
            objects.insert(name.to_owned(), Object::new(name, states(log, name)?));
        }
    }
    for account in known {
        ensure(objects.contains_key(&account), || format!("{account} is not in the log"))?;
    }
    Ok(objects)
}

fn states(log: &Log, name: &str) -> Outcome<Vec<State>> {
    let mut state = State::default();
    let mut states = vec![state];
    for event in log.stream(name) {
        state.cents += event.cents;
        let then = match event.kind.as_str() {
            "OrderCreated" => Status::Pending,
            "OrderPaid" => Status::Paid,
            "OrderCanceled" => Status::Canceled,
            _ => state.status,
        };
        let may_follow = match (state.status, then) {
            (Status::None, _) | (Status::Pending, Status::Paid | Status::Canceled) => true,
            (Status::Paid, next) => next == Status::Canceled,
            (_, next) => next == state.status && !name.starts_with("order-"),
        };
        ensure(may_follow, || format!("{name}: {event:?} can't follow {:?}", state.status))?;
        ensure(state.cents >= 0, || format!("{name} is overdrawn at position {}", event.position))?;
        state.status = then;
        states.push(state);
    }
    Ok(states)
}

/// Finds what a command has led to in the log.
fn effect(
    deed: &Deed,
    id: Option<&str>,
    position: u64,
    deeds: &Deeds,
    log: &Log,
) -> Outcome<Effect> {
    // The position is that of the last event; one of an order may have one of an account behind it.
    let places = match deed.act {
        Act::Pay { .. } => vec![position.saturating_sub(1), position],
        Act::Cancel { .. } => {
            let (stream, _) = log.at(position).unwrap_or_default();
            if stream.starts_with("account-") {
                vec![position.saturating_sub(1), position]
            } else {
                vec![position]
            }
        }
        _ => vec![position],
    };
    let effect = Effect { head: places.first().copied().unwrap_or(position), places };
    let same_id = id.is_none_or(|id| {
        log.at(effect.head).is_some_and(|(stream, _)| stream == format!("order-{id}"))
    });
    ensure(same_id && may_be(deed, &effect, deeds, log), || {
        format!("acknowledged and not in the log where it was said to be: {deed:?}")
    })?;
    Ok(effect)
}

/// Whether this is what the command would have led to.
fn may_be(deed: &Deed, effect: &Effect, deeds: &Deeds, log: &Log) -> bool {
    let event = |position: u64| {
        let (stream, version) = log.at(position)?;
        let event = log.stream(stream).get(usize::try_from(version).ok()?.checked_sub(1)?)?;
        Some((stream, event))
    };
    let Some((stream, head)) = event(effect.head) else { return false };
    let behind = effect.places.get(1).and_then(|position| event(*position));
    let is_account = |stream: &str, number: usize| {
        deeds.accounts.get(number).is_some_and(|id| stream == format!("account-{id}"))
    };
    match &deed.act {
        Act::Deposit { account, cents } => {
            head.kind == "MoneyDeposited" && head.cents == *cents && is_account(stream, *account)
        }
        Act::Withdraw { account, cents } => {
            head.kind == "MoneyWithdrawn" && head.cents == -cents && is_account(stream, *account)
        }
        Act::Create { cents } => head.kind == "OrderCreated" && head.cents == *cents,
        Act::Pay { order, account } => {
            head.kind == "OrderPaid"
                && stream == format!("order-{}", order.id)
                && behind.is_some_and(|(stream, event)| {
                    event.kind == "OrderPaymentDebited"
                        && event.cents == -order.cents
                        && event.order.as_ref() == Some(&order.id)
                        && is_account(stream, *account)
                })
        }
        Act::Cancel { order } => {
            head.kind == "OrderCanceled"
                && stream == format!("order-{}", order.id)
                && behind.is_none_or(|(_, event)| {
                    event.kind == "OrderRefundCredited" && event.cents == order.cents
                })
        }
        Act::Publish { topic, text } => {
            head.kind == "NotificationPublished"
                && stream == format!("notification-{topic}")
                && head.text.as_ref() == Some(text)
        }
        Act::ReadAccount { .. } | Act::ReadOrder { .. } | Act::ReadLog { .. } => false,
    }
}

/// What is in the log and was acknowledged to nobody.
fn unclaimed(log: &Log, claimed: &BTreeSet<u64>) -> Vec<Effect> {
    let mut effects = Vec::new();
    for name in log.names() {
        for event in log.stream(name) {
            let is_head = !matches!(
                event.kind.as_str(),
                "AccountOpened" | "OrderPaymentDebited" | "OrderRefundCredited"
            ) && ["order-", "account-", "notification-"]
                .iter()
                .any(|kind| name.starts_with(kind));
            if !is_head || claimed.contains(&event.position) {
                continue;
            }
            let behind = event.position + 1;
            let follows = log.at(behind).is_some_and(|(stream, version)| {
                let at = usize::try_from(version).unwrap_or(usize::MAX).wrapping_sub(1);
                let next = log.stream(stream).get(at);
                let expected = match event.kind.as_str() {
                    "OrderPaid" => "OrderPaymentDebited",
                    "OrderCanceled" => "OrderRefundCredited",
                    _ => return false,
                };
                next.is_some_and(|next| next.kind == expected && next.order == event.order)
            });
            let places = if follows { vec![event.position, behind] } else { vec![event.position] };
            effects.push(Effect { head: event.position, places });
        }
    }
    effects.sort_by_key(|effect| effect.head);
    effects
}

/// Notes a command that took effect with everything it changed.
fn wrote<'a>(
    objects: &mut BTreeMap<String, Object<'a>>,
    log: &Log,
    deed: &'a Deed,
    effect: &Effect,
    answered: bool,
) {
    for (stream, version) in effect.places.iter().filter_map(|position| log.at(*position)) {
        if let Some(object) = objects.get_mut(stream) {
            object.wrote(deed, version, answered);
        }
    }
}

fn saw<'a>(
    objects: &mut BTreeMap<String, Object<'a>>,
    name: &str,
    deed: &'a Deed,
    version: u64,
    is_so: impl Fn(&State) -> bool,
) -> Outcome {
    let object = objects.get_mut(name);
    let object =
        object.ok_or_else(|| Failure::new(format!("{name} was read and is not in the log")))?;
    ensure(object.state(version).is_some_and(is_so), || {
        format!("{deed:?} is not what the log says of that version: {:?}", object.state(version))
    })?;
    object.saw(deed, version);
    Ok(())
}

fn refused<'a>(
    objects: &mut BTreeMap<String, Object<'a>>,
    deeds: &Deeds,
    deed: &'a Deed,
    reason: &str,
) -> Outcome {
    let (name, wants) = match (&deed.act, reason) {
        (Act::Withdraw { cents, .. }, "insufficient-funds") => {
            (format!("account-{}", account(deeds, deed)?), object::Wants::LessThan(*cents))
        }
        (Act::Pay { order, .. }, "insufficient-funds") => {
            (format!("account-{}", account(deeds, deed)?), object::Wants::LessThan(order.cents))
        }
        (Act::Pay { order, .. }, "order-already-paid") => {
            (format!("order-{}", order.id), object::Wants::Status(Status::Paid))
        }
        (Act::Pay { order, .. } | Act::Cancel { order }, "order-already-canceled") => {
            (format!("order-{}", order.id), object::Wants::Status(Status::Canceled))
        }
        _ => return Err(Failure::new(format!("a refusal that can't be: {deed:?}"))),
    };
    let object = objects.get_mut(&name);
    let object = object.ok_or_else(|| Failure::new(format!("{name} is not in the log")))?;
    object.refused(deed, wants);
    Ok(())
}

/// The account that a deed is about.
fn account<'d>(deeds: &'d Deeds, deed: &Deed) -> Outcome<&'d str> {
    let number = match &deed.act {
        Act::Deposit { account, .. }
        | Act::Withdraw { account, .. }
        | Act::Pay { account, .. }
        | Act::ReadAccount { account } => deeds.accounts.get(*account),
        _ => None,
    };
    number.map(String::as_str).ok_or_else(|| Failure::new(format!("no account in {deed:?}")))
}

/// The order that a deed is about.
fn order(deed: &Deed) -> Outcome<&str> {
    match &deed.act {
        Act::ReadOrder { order } | Act::Pay { order, .. } | Act::Cancel { order } => Ok(&order.id),
        _ => Err(Failure::new(format!("no order in {deed:?}"))),
    }
}

#[cfg(test)]
mod tests;
