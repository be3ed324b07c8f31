//! What every repository promises.

use daybook_accounts::{Account, AccountPage, AccountRepository, StatementPage, TransferSide};
use daybook_events::{
    Aggregate, EntryOutcome, EventPayload, Journal, Placed, Position, TransferId,
};
use daybook_money::Amount;
use daybook_orders::{
    Contents, CreateOrder, LineName, Order, OrderEvent, OrderId, OrderPage, OrderRepository,
    OrderStatus, RequestedLine,
};
use uuid::Uuid;

use super::sample::{account_entry, event_on, holder, opening};
use crate::Row;

/// Accounts are listed in the order in which they were opened, page by page, by holder, whatever their
/// ids are; closed ones are found and not listed.
pub async fn accounts_are_listed_oldest_first(
    journal: &dyn Journal<Row>,
    accounts: &dyn AccountRepository,
) {
    for (n, owner) in [(3, 1), (1, 1), (2, 2), (4, 1)] {
        let (_, entry) = opening(n, holder(owner), "1");
        journal.append(&[entry]).await.unwrap();
    }
    let (closing, _) = opening(4, holder(1), "1");
    let closed = closing.close();
    let after = daybook_accounts::Account::evolve(Some(closing), &closed).unwrap();
    journal.append(&[account_entry(&after, &closed)]).await.unwrap();

    let list = |owner: Option<u128>, after: Option<u64>, limit| async move {
        let page =
            AccountPage { holder: owner.map(holder), after: after.map(Position::new), limit };
        let found = accounts.list(&page).await.unwrap();
        let placed = |found: &Placed<daybook_accounts::Account>| {
            (found.position.get(), found.thing.id.uuid().as_u128())
        };
        found.iter().map(placed).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(1), None, 10).await, [(1, 3), (2, 1)]);
    assert_eq!(list(Some(1), None, 1).await, [(1, 3)]);
    assert_eq!(list(Some(1), Some(1), 10).await, [(2, 1)]);
    assert_eq!(list(None, None, 10).await, [(1, 3), (2, 1), (3, 2)]);
    // Opened meanwhile by someone whose clock is behind: it comes after all that were there.
    let (_, entry) = opening(0, holder(1), "1");
    journal.append(&[entry]).await.unwrap();
    assert_eq!(list(Some(1), Some(2), 10).await, [(6, 0)]);
    assert!(!accounts.find(&[after.id]).await.unwrap()[0].is_open());
}

/// A statement has every posting on the account, newest first, with the balance after each.
pub async fn a_statement_has_every_posting(
    journal: &dyn Journal<Row>,
    accounts: &dyn AccountRepository,
) {
    let (mut account, entry) = opening(1, holder(1), "10");
    journal.append(&[entry]).await.unwrap();
    for amount in ["1.50", "2.25"] {
        let reference = daybook_accounts::Reference::new(amount).ok();
        let event = account.deposit(&Amount::Text(amount.to_owned()), reference).unwrap();
        account = daybook_accounts::Account::evolve(Some(account), &event).unwrap();
        journal.append(&[account_entry(&account, &event)]).await.unwrap();
    }
    let statement = |before: Option<u64>, limit| async move {
        let page = StatementPage { account: account.id, before: before.map(Position::new), limit };
        let lines = accounts.statement(&page).await.unwrap();
        lines
            .into_iter()
            .map(|line| {
                (line.position.get(), line.event_type, line.amount.amount(), line.balance.amount())
            })
            .collect::<Vec<_>>()
    };
    let line = |position, kind: &str, amount: &str, balance: &str| {
        (position, kind.to_owned(), amount.to_owned(), balance.to_owned())
    };
    let all = [
        line(3, "MoneyDeposited", "2.25", "13.75"),
        line(2, "MoneyDeposited", "1.50", "11.50"),
        line(1, "AccountOpened", "10.00", "10.00"),
    ];
    assert_eq!(statement(None, 10).await, all);
    assert_eq!(statement(None, 1).await, all[..1]);
    assert_eq!(statement(Some(3), 10).await, all[1..]);
}

/// A transfer is found by its id, and each side's statement names it and the other account.
pub async fn a_transfer_is_found_and_stands_in_both_statements(
    journal: &dyn Journal<Row>,
    accounts: &dyn AccountRepository,
) {
    let (source, entry) = opening(1, holder(1), "10");
    journal.append(&[entry]).await.unwrap();
    let (target, entry) = opening(2, holder(1), "1");
    journal.append(&[entry]).await.unwrap();
    let id = TransferId::from_uuid(Uuid::from_u128(77));
    assert_eq!(accounts.transfer(id).await.unwrap(), None);

    let reference = daybook_accounts::Reference::new("rent").ok();
    let amount = Amount::Text("2.50".to_owned());
    let (sent, received) = source.transfer(&target, id, &amount, reference).unwrap();
    for (account, event) in [(&source, &sent), (&target, &received)] {
        let after = Account::evolve(Some(account.clone()), event).unwrap();
        journal.append(&[account_entry(&after, event)]).await.unwrap();
    }
    let found = accounts.transfer(id).await.unwrap().unwrap();
    assert_eq!((found.id, found.from, found.to), (id, source.id, target.id));
    assert_eq!((found.amount.amount().as_str(), found.position.get()), ("2.50", 3));
    assert_eq!(found.reference.as_deref(), Some("rent"));
    assert_eq!(accounts.transfer(TransferId::from_uuid(source.id.uuid())).await.unwrap(), None);

    for (account, other) in [(&source, &target), (&target, &source)] {
        let page = StatementPage { account: account.id, before: None, limit: 10 };
        let lines = accounts.statement(&page).await.unwrap();
        let sides: Vec<_> = lines.iter().map(|line| line.transfer).collect();
        let side = TransferSide { id, counter_account: other.id };
        assert_eq!(sides, [Some(side), None]);
    }
}

/// An order comes back as its events left it, and is listed newest first, by holder and status,
/// whatever its id is.
pub async fn orders_come_back_and_are_listed_newest_first(
    journal: &dyn Journal<Row>,
    orders: &dyn OrderRepository,
) {
    let line = RequestedLine {
        name: LineName::new("Tea").unwrap(),
        quantity: 3,
        unit_price: Amount::JsonNumber("1.1".to_owned()),
    };
    let contents = Contents::new("EUR".parse().unwrap(), vec![line]).unwrap();
    let mut made = Vec::new();
    for (n, owner, contents) in [(2, 1, Some(contents)), (3, 1, None), (1, 2, None)] {
        let created = Order::create(CreateOrder {
            order_id: OrderId::from_uuid(Uuid::from_u128(n)),
            holder_id: holder(owner),
            contents,
            created_at: daybook_events::Timestamp::from_micros(5),
        });
        let order = Order::evolve(None, &created).unwrap();
        journal.append(&[order_entry(&order, &created)]).await.unwrap();
        made.push(order);
    }
    let paid = made[0].pay(Some(Uuid::from_u128(9))).unwrap();
    made[0] = Order::evolve(Some(made[0].clone()), &paid).unwrap();
    journal.append(&[order_entry(&made[0], &paid)]).await.unwrap();

    let mut found =
        orders.find(&[made[0].id, made[1].id, OrderId::from_uuid(Uuid::nil())]).await.unwrap();
    found.sort_by_key(|order| order.id);
    assert_eq!(found, made[..2]);
    let list = |owner: Option<u128>, status, before: Option<u64>| async move {
        let before = before.map(Position::new);
        let page =
            OrderPage { holder: owner.map(holder), status, before, limit: 10, bytes: u64::MAX };
        let found = orders.list(&page).await.unwrap();
        let placed =
            |found: &Placed<Order>| (found.position.get(), found.thing.id.uuid().as_u128());
        found.iter().map(placed).collect::<Vec<_>>()
    };
    assert_eq!(list(Some(1), None, None).await, [(2, 3), (1, 2)]);
    assert_eq!(list(Some(1), None, Some(2)).await, [(1, 2)]);
    assert_eq!(list(Some(1), Some(OrderStatus::Paid), None).await, [(1, 2)]);
    assert_eq!(list(None, Some(OrderStatus::Pending), None).await, [(3, 1), (2, 3)]);
    assert_eq!(list(None, None, None).await, [(3, 1), (2, 3), (1, 2)]);
    assert_eq!(list(None, None, Some(3)).await, [(2, 3), (1, 2)]);
}

/// A page of orders has no more bytes of lines than it may: the order that reaches the bound is its last.
pub async fn pages_of_orders_are_bounded_in_bytes(
    journal: &dyn Journal<Row>,
    orders: &dyn OrderRepository,
) {
    let line = || RequestedLine {
        name: LineName::new(&"x".repeat(200)).unwrap(),
        quantity: 1,
        unit_price: Amount::JsonNumber("1".to_owned()),
    };
    let contents =
        Contents::new("EUR".parse().unwrap(), (0..10).map(|_| line()).collect()).unwrap();
    let created = |n: u128| {
        let event = Order::create(CreateOrder {
            order_id: OrderId::from_uuid(Uuid::from_u128(n)),
            holder_id: holder(1),
            contents: Some(contents.clone()),
            created_at: daybook_events::Timestamp::from_micros(5),
        });
        order_entry(&Order::evolve(None, &event).unwrap(), &event)
    };
    journal.append(&(1..=30).map(created).collect::<Vec<_>>()).await.unwrap();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = OrderPage { holder: None, status: None, before, limit: 30, bytes: 10_000 };
        let page = orders.list(&page).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!((2..=10).contains(&page.len()) || last.position.get() == 1, "{}", page.len());
        before = Some(last.position);
        seen.extend(page.iter().map(|order| order.position.get()));
    }
    assert_eq!(seen, (1..=30).rev().collect::<Vec<_>>());
}

/// Orders that are new, that are new and paid in one batch, and that were there before stand as the
/// batch leaves them; so does one in whose place a row was left that no event tells of.
pub async fn orders_stand_as_a_batch_leaves_them(
    journal: &dyn Journal<Row>,
    orders: &dyn OrderRepository,
) {
    let created = |n: u128| {
        let event = Order::create(CreateOrder {
            order_id: OrderId::from_uuid(Uuid::from_u128(n)),
            holder_id: holder(1),
            contents: None,
            created_at: daybook_events::Timestamp::from_micros(5),
        });
        let order = Order::evolve(None, &event).unwrap();
        (order_entry(&order, &event), order)
    };
    let paid = |before: &Order| {
        let event = before.pay(None).unwrap();
        let order = Order::evolve(Some(before.clone()), &event).unwrap();
        (order_entry(&order, &event), order)
    };
    let (first, before) = created(1);
    let mut left = event_on("elsewhere", 0);
    left.rows = vec![Row::Order(paid(&created(4).1).1)];
    journal.append(&[first, left]).await.unwrap();

    let (new, (both, made), (in_place, over)) = (created(2), created(3), created(4));
    let (pay_first, pay_new) = (paid(&before), paid(&made));
    let batch = [new.0, both, pay_new.0, in_place, pay_first.0];
    let outcomes = journal.append(&batch).await.unwrap();
    assert!(outcomes.iter().all(|one| matches!(one, EntryOutcome::Committed { .. })));
    let expected = [pay_first.1, new.1, pay_new.1, over];
    let mut found = orders.find(&expected.each_ref().map(|order| order.id)).await.unwrap();
    found.sort_by_key(|order| order.id);
    assert_eq!(found, expected);
}

fn order_entry(after: &Order, event: &OrderEvent) -> daybook_events::Entry<Row> {
    let mut entry = event_on("", after.version.get() - 1);
    entry.expected[0].0 = after.id.stream();
    entry.events[0].stream = after.id.stream();
    entry.events[0].event_type = event.event_type();
    entry.events[0].data = event.data();
    entry.events[0].order_id = Some(after.id.uuid());
    entry.rows = vec![Row::Order(after.clone())];
    entry
}
