//! Folding the log, stream by stream.

use std::collections::HashMap;
use std::str::FromStr;

use daybook_accounts::{Account, AccountEvent, AccountId, HolderEvent, HolderStanding};
use daybook_events::{
    Aggregate, EventPayload, HolderId, NotificationEvent, Placed, Position, RecordedEvent,
    StreamId, TaskDiscarded, TaskEvent, TaskId, TaskRetried, Version,
};
use daybook_orders::{Order, OrderEvent, OrderId};
use uuid::Uuid;

use super::{Check, Difference, Projected, ProjectedPosting, ProjectedTask};
use crate::projection::{account_postings, order_postings};

/// A fold of the log in the order of streams and versions. Only the state of one stream is kept
/// from page to page.
#[derive(Default)]
pub(crate) struct Fold {
    current: Option<Current>,
}

struct Current {
    stream: StreamId,
    version: Version,
    /// What the events so far come to; nothing where they can't follow each other.
    state: Option<State>,
}

enum State {
    New,
    Account(Placed<Account>),
    Order(Placed<Order>),
    Holder(HolderId, HolderStanding),
    Task(ProjectedTask),
    Topic,
}

impl Fold {
    /// What these events come to, and what is wrong with them.
    pub(crate) fn page(&mut self, events: &[RecordedEvent]) -> (Projected, Vec<Difference>) {
        let (mut page, mut broken) = (Projected::default(), Vec::new());
        for event in events {
            let mut current = match self.current.take() {
                Some(current) if current.stream == event.stream => current,
                earlier => {
                    page.take(earlier);
                    Current::new(event.stream.clone())
                }
            };
            current.apply(&mut page, &mut broken, event);
            self.current = Some(current);
        }
        (page, broken)
    }

    /// What the last stream comes to.
    pub(crate) fn finish(mut self) -> Projected {
        let mut page = Projected::default();
        page.take(self.current.take());
        page
    }
}

/// Which read model an event belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadModel {
    Account(AccountId),
    Order(OrderId),
}

/// The account or order that a stream is of.
pub(crate) fn stream_of(stream: &StreamId) -> Option<ReadModel> {
    let (category, key) = stream.as_str().split_once('-')?;
    let id = Uuid::from_str(key).ok()?;
    match category {
        "account" => Some(ReadModel::Account(AccountId::from_uuid(id))),
        "order" => Some(ReadModel::Order(OrderId::from_uuid(id))),
        _ => None,
    }
}

/// What accounts and orders come to by these events, in the order of the log, from how they were
/// before them. Other streams are left out.
pub(crate) fn follow(
    accounts: Vec<Placed<Account>>,
    orders: Vec<Placed<Order>>,
    events: &[RecordedEvent],
) -> (Projected, Vec<Difference>) {
    let known = accounts
        .into_iter()
        .map(|account| (account.thing.id.stream(), account.thing.version, State::Account(account)));
    let known = known.chain(
        orders
            .into_iter()
            .map(|order| (order.thing.id.stream(), order.thing.version, State::Order(order))),
    );
    let mut states: HashMap<StreamId, Current> = known
        .map(|(stream, version, state)| {
            (stream.clone(), Current { stream, version, state: Some(state) })
        })
        .collect();
    let (mut page, mut broken) = (Projected::default(), Vec::new());
    for event in events.iter().filter(|event| stream_of(&event.stream).is_some()) {
        let current = states
            .entry(event.stream.clone())
            .or_insert_with(|| Current::new(event.stream.clone()));
        current.apply(&mut page, &mut broken, event);
    }
    for current in states.into_values() {
        page.take(Some(current));
    }
    (page, broken)
}

impl Current {
    const fn new(stream: StreamId) -> Self {
        Self { stream, version: Version::ZERO, state: Some(State::New) }
    }

    fn apply(&mut self, page: &mut Projected, broken: &mut Vec<Difference>, event: &RecordedEvent) {
        if let Some(state) = self.state.take() {
            match apply(page, self, state, event) {
                Ok(state) => self.state = Some(state),
                Err(why) => {
                    let what = format!("{} at position {}: {why}", event.stream, event.position);
                    broken.push(Difference::new(Check::Streams, what));
                }
            }
        }
        self.version = event.version;
    }
}

impl Projected {
    fn take(&mut self, ended: Option<Current>) {
        match ended.and_then(|current| current.state) {
            Some(State::Account(account)) => self.accounts.push(account),
            Some(State::Order(order)) => self.orders.push(order),
            Some(State::Holder(id, standing)) => self.holders.push((id, standing)),
            Some(State::Task(task)) => self.tasks.push(task),
            Some(State::New | State::Topic) | None => {}
        }
    }
}

/// The state after `event`; its postings go to the page.
fn apply(
    page: &mut Projected,
    current: &Current,
    state: State,
    event: &RecordedEvent,
) -> Result<State, String> {
    let next = current.version.next();
    if event.version != next {
        return Err(format!("version {} stands where {next} belongs", event.version));
    }
    let (category, key) =
        event.stream.as_str().split_once('-').ok_or("no stream has such a name")?;
    let (state, postings) = match (category, state) {
        ("account", State::New) => account(None, key, event)?,
        ("account", State::Account(before)) => account(Some(before), key, event)?,
        ("order", State::New) => order(None, key, event)?,
        ("order", State::Order(before)) => order(Some(before), key, event)?,
        ("holder", State::New) => (holder(None, key, event)?, Vec::new()),
        ("holder", State::Holder(_, before)) => (holder(Some(before), key, event)?, Vec::new()),
        ("task", State::New) => (task(None, key, event)?, Vec::new()),
        ("task", State::Task(before)) => (task(Some(before), key, event)?, Vec::new()),
        ("notification", State::New | State::Topic) => {
            read::<NotificationEvent>(event)?;
            (State::Topic, Vec::new())
        }
        _ => return Err("no stream of that name has such an event".to_owned()),
    };
    page.positions.push(event.position);
    let at = |row| ProjectedPosting { position: event.position, row };
    page.postings.extend(postings.into_iter().map(at));
    Ok(state)
}

fn account(
    before: Option<Placed<Account>>,
    key: &str,
    event: &RecordedEvent,
) -> Result<(State, Vec<crate::PostingRow>), String> {
    let (position, before) = apart(before, event);
    let change = read::<AccountEvent>(event)?;
    let after = Account::evolve(before, &change).map_err(|error| error.to_string())?;
    belongs(event, key, after.id.uuid(), Some(after.holder_id), change.order_id())?;
    let postings = account_postings(&after, &change, 0).map_err(|error| error.to_string())?;
    Ok((State::Account(Placed { position, thing: after }), postings))
}

/// Where a stream begins, with this event if nothing was before it; and what was before it.
fn apart<T>(before: Option<Placed<T>>, event: &RecordedEvent) -> (Position, Option<T>) {
    before.map_or((event.position, None), |before| (before.position, Some(before.thing)))
}

fn order(
    before: Option<Placed<Order>>,
    key: &str,
    event: &RecordedEvent,
) -> Result<(State, Vec<crate::PostingRow>), String> {
    let (position, before) = apart(before, event);
    let change = read::<OrderEvent>(event)?;
    let after = Order::evolve(before, &change).map_err(|error| error.to_string())?;
    let id = after.id.uuid();
    belongs(event, key, id, Some(after.holder_id), Some(id))?;
    let postings = order_postings(after.id, &change, 0).map_err(|error| error.to_string())?;
    Ok((State::Order(Placed { position, thing: after }), postings))
}

fn holder(
    before: Option<HolderStanding>,
    key: &str,
    event: &RecordedEvent,
) -> Result<State, String> {
    let change = read::<HolderEvent>(event)?;
    let (id, standing) = match (before, &change) {
        (None, HolderEvent::HolderRegistered(registered)) => {
            (registered.holder_id, HolderStanding::first())
        }
        (Some(before), HolderEvent::PasswordChanged(changed)) => {
            (changed.holder_id, before.after(&change))
        }
        (Some(before), HolderEvent::SessionEnded(ended)) => {
            (ended.holder_id, before.after(&change))
        }
        _ => return Err(format!("{} can't follow there", change.event_type())),
    };
    belongs(event, key, id.uuid(), Some(id), None)?;
    Ok(State::Holder(id, standing))
}

fn task(before: Option<ProjectedTask>, key: &str, event: &RecordedEvent) -> Result<State, String> {
    let task = match (before, read::<TaskEvent>(event)?) {
        (None, TaskEvent::TaskRequested(requested)) => ProjectedTask {
            id: requested.task_id,
            owner: event.owner,
            kind: Some(requested.kind),
            position: event.position,
            version: event.version,
        },
        // Earlier versions let an operator put back or discard a task that had not come through the log.
        (
            None,
            TaskEvent::TaskRetried(TaskRetried { task_id })
            | TaskEvent::TaskDiscarded(TaskDiscarded { task_id }),
        ) => ProjectedTask {
            id: task_id,
            owner: event.owner,
            kind: None,
            position: event.position,
            version: event.version,
        },
        (Some(before), TaskEvent::TaskRetried(retried)) if retried.task_id == before.id => {
            ProjectedTask { version: event.version, ..before }
        }
        (Some(before), TaskEvent::TaskDiscarded(discarded)) if discarded.task_id == before.id => {
            ProjectedTask { version: event.version, ..before }
        }
        (_, event) => return Err(format!("{} can't follow there", event.event_type())),
    };
    belongs(event, key, TaskId::uuid(task.id), task.owner, None)?;
    Ok(State::Task(task))
}

fn read<E: EventPayload>(event: &RecordedEvent) -> Result<E, String> {
    E::from_stored(&event.event_type, &event.data).map_err(|error| error.to_string())
}

/// Whether the event is of the stream it stands in, and says whose it is and for which order.
fn belongs(
    event: &RecordedEvent,
    key: &str,
    id: Uuid,
    owner: Option<HolderId>,
    order: Option<Uuid>,
) -> Result<(), String> {
    if Uuid::from_str(key) != Ok(id) {
        return Err("the event is another stream's".to_owned());
    }
    if event.owner != owner {
        return Err("the event has another owner than its stream".to_owned());
    }
    if event.order_id != order {
        return Err("the event names another order than its data".to_owned());
    }
    Ok(())
}
