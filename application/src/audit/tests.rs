//! What the log comes to, however it is read.

use daybook_accounts::{Account, AccountEvent, AccountId, AccountName, OpenAccount};
use daybook_events::{
    Aggregate, EventId, EventPayload, HolderId, Metadata, Placed, Position, RecordedEvent,
    StreamId, TaskDiscarded, TaskEvent, TaskId, TaskRetried, Timestamp, Version,
};
use daybook_money::Amount;
use daybook_orders::{CreateOrder, Order, OrderEvent, OrderId};
use uuid::Uuid;

use super::{Fold, follow};
use crate::Projected;

const HOLDER: HolderId = HolderId::from_uuid(Uuid::from_u128(1));

fn amount(text: &str) -> Amount {
    Amount::Text(text.to_owned())
}

fn recorded(
    position: u64,
    stream: StreamId,
    version: u64,
    event: &impl EventPayload,
    order: Option<Uuid>,
) -> RecordedEvent {
    RecordedEvent {
        position: Position::new(position),
        id: EventId::from_uuid(Uuid::from_u128(position.into())),
        stream,
        version: Version::new(version),
        event_type: event.event_type().into(),
        timestamp: Timestamp::from_micros(1),
        data: event.data(),
        owner: Some(HOLDER),
        order_id: order,
        metadata: Metadata::default(),
    }
}

/// An account that was opened, paid into and renamed, and an order that was paid outside, in the order
/// of the log; and what they come to.
fn history() -> (Vec<RecordedEvent>, Account, Order) {
    let (account_id, order_id) =
        (AccountId::from_uuid(Uuid::from_u128(7)), OrderId::from_uuid(Uuid::from_u128(9)));
    let opened = Account::open(OpenAccount {
        account_id,
        holder_id: HOLDER,
        name: AccountName::new("Everyday").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_balance: Some(amount("10")),
        opened_at: Timestamp::from_micros(1),
    })
    .unwrap();
    let account = Account::evolve(None, &opened).unwrap();
    let deposited = account.deposit(&amount("5"), None).unwrap();
    let account = Account::evolve(Some(account), &deposited).unwrap();
    let renamed = account.rename(AccountName::new("Other").unwrap()).unwrap();
    let account = Account::evolve(Some(account), &renamed).unwrap();

    let created = Order::create(CreateOrder {
        order_id,
        holder_id: HOLDER,
        contents: None,
        created_at: Timestamp::from_micros(1),
    });
    let order = Order::evolve(None, &created).unwrap();
    let paid = order.pay(None).unwrap();
    let order = Order::evolve(Some(order), &paid).unwrap();

    let of_account = |position, version, event: &AccountEvent| {
        recorded(position, account_id.stream(), version, event, None)
    };
    let of_order = |position, version, event: &OrderEvent| {
        recorded(position, order_id.stream(), version, event, Some(order_id.uuid()))
    };
    let events = vec![
        of_account(1, 1, &opened),
        of_order(2, 1, &created),
        of_account(3, 2, &deposited),
        of_order(4, 2, &paid),
        of_account(5, 3, &renamed),
    ];
    (events, account, order)
}

fn by_stream(mut events: Vec<RecordedEvent>) -> Vec<RecordedEvent> {
    events.sort_by(|a, b| (&a.stream, a.version).cmp(&(&b.stream, b.version)));
    events
}

fn at<T>(position: u64, thing: T) -> Placed<T> {
    Placed { position: Position::new(position), thing }
}

/// All that the pages come to, each row once.
fn folded(events: &[RecordedEvent], page: usize) -> (Projected, Vec<String>) {
    let (mut fold, mut all, mut broken) = (Fold::default(), Projected::default(), Vec::new());
    let mut add = |page: Projected| {
        all.accounts.extend(page.accounts);
        all.orders.extend(page.orders);
        all.positions.extend(page.positions);
        all.postings.extend(page.postings);
    };
    for events in events.chunks(page) {
        let (projected, found) = fold.page(events);
        broken.extend(found.iter().map(ToString::to_string));
        add(projected);
    }
    add(fold.finish());
    (all, broken)
}

#[test]
fn the_size_of_pages_changes_nothing() {
    let (events, account, order) = history();
    let events = by_stream(events);
    for page in 1..=events.len() {
        let (all, broken) = folded(&events, page);
        assert!(broken.is_empty(), "{broken:?}");
        let expected = (vec![at(1, account.clone())], vec![at(2, order.clone())]);
        assert_eq!((all.accounts, all.orders), expected);
        let balances: Vec<_> = all
            .postings
            .iter()
            .map(|posting| posting.row.balance.map(daybook_money::Money::minor))
            .collect();
        // Outside has no balance.
        assert_eq!(balances, [None, Some(1_000), None, Some(1_500)]);
        assert_eq!(all.positions.len(), events.len());
    }
}

#[test]
fn following_the_log_from_anywhere_comes_to_the_same() {
    let (events, account, order) = history();
    for cut in 0..events.len() {
        let (before, after) = events.split_at(cut);
        let (known, broken) = follow(Vec::new(), Vec::new(), before);
        assert!(broken.is_empty(), "{broken:?}");
        let (page, broken) = follow(known.accounts, known.orders, after);
        assert!(broken.is_empty(), "{broken:?}");
        let expected = (vec![at(1, account.clone())], vec![at(2, order.clone())]);
        assert_eq!((page.accounts, page.orders), expected);
        assert_eq!(page.positions.len(), after.len());
    }
}

#[test]
fn a_stream_that_breaks_off_is_told_once_and_comes_to_nothing() {
    type Fault = (fn(&mut RecordedEvent), &'static str);
    let faults: [Fault; 6] = [
        (|event| event.version = Version::new(3), "version 3 stands where 2 belongs"),
        (|event| event.owner = None, "another owner"),
        (|event| event.order_id = Some(Uuid::nil()), "another order"),
        (|event| event.event_type = "OrderPaid".into(), "can't read an event of type OrderPaid"),
        (|event| event.event_type = "AccountOpened".into(), "can't read an event"),
        (
            |event| {
                (event.stream, event.version) = (StreamId::new("elsewhere", 1), Version::new(1));
            },
            "no stream of that name",
        ),
    ];
    for (fault, named) in faults {
        let (mut events, _, order) = history();
        let deposit = events.iter_mut().find(|event| event.event_type == "MoneyDeposited").unwrap();
        fault(deposit);
        let (all, broken) = folded(&by_stream(events), 2);
        assert!(broken.iter().all(|line| line.starts_with("streams: ")), "{broken:?}");
        assert!(broken.iter().any(|line| line.contains(named)), "{named}: {broken:?}");
        let orders: Vec<_> = all.orders.into_iter().map(|order| order.thing).collect();
        assert_eq!((all.accounts.len(), orders), (0, vec![order]), "{named}");
        assert_eq!(all.postings.len(), 2, "{named}: only those of the opening");
    }
}

/// As earlier versions wrote it of a task that had come by way of a broker.
#[test]
fn a_task_that_the_log_has_not_asked_for_is_read() {
    let task_id = TaskId::from_uuid(Uuid::from_u128(5));
    let retried = TaskEvent::TaskRetried(TaskRetried { task_id });
    let discarded = TaskEvent::TaskDiscarded(TaskDiscarded { task_id });
    for events in [vec![&discarded], vec![&retried, &retried, &discarded]] {
        let events: Vec<_> = (1..)
            .zip(&events)
            .map(|(n, event)| recorded(n, task_id.stream(), n, *event, None))
            .collect();
        let mut fold = Fold::default();
        let (_, broken) = fold.page(&events);
        assert!(broken.is_empty(), "{broken:?}");
        let [task] = &fold.finish().tasks[..] else { panic!("one task") };
        assert_eq!((task.id, &task.kind), (task_id, &None));
        assert_eq!(task.version, events.last().unwrap().version);
    }
}
