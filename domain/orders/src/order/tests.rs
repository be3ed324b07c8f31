//! Given events, when a command, then events or a rejection.

use daybook_events::EventPayload;
use daybook_money::Amount;

use super::*;
use crate::{LineName, RequestedLine};

fn contents() -> Contents {
    let line = RequestedLine {
        name: LineName::new("Tea").unwrap(),
        quantity: 3,
        unit_price: Amount::Text("1.50".to_owned()),
    };
    Contents::new("EUR".parse().unwrap(), vec![line]).unwrap()
}

fn create(contents: Option<Contents>) -> OrderEvent {
    Order::create(CreateOrder {
        order_id: OrderId::from_uuid(Uuid::from_u128(1)),
        holder_id: HolderId::from_uuid(Uuid::from_u128(7)),
        contents,
        created_at: Timestamp::from_micros(1),
    })
}

fn given(events: &[OrderEvent]) -> Order {
    Order::fold(events).unwrap().unwrap()
}

fn pending() -> Order {
    given(&[create(Some(contents()))])
}

fn after(order: &Order, event: &OrderEvent) -> Order {
    Order::evolve(Some(order.clone()), event).unwrap()
}

const ACCOUNT: Option<Uuid> = Some(Uuid::from_u128(5));

#[test]
fn given_nothing_when_created_then_pending_with_an_exact_total() {
    let order = pending();
    assert_eq!(order.status, OrderStatus::Pending);
    assert_eq!(order.total().unwrap().to_string(), "4.50 EUR");
    assert_eq!(given(&[create(None)]).total(), None);
}

#[test]
fn given_a_pending_order_when_paid_then_paid_with_its_total() {
    let order = pending();
    let event = order.pay(ACCOUNT).unwrap();
    let expected = OrderPaid { account_id: ACCOUNT, amount: order.total() };
    assert_eq!(event, OrderEvent::OrderPaid(expected));
    assert_eq!(after(&order, &event).status, OrderStatus::Paid);
}

#[test]
fn given_a_paid_order_when_paid_again_then_refused() {
    let order = pending();
    let paid = after(&order, &order.pay(None).unwrap());
    assert_eq!(paid.pay(None), Err(OrderRejection::AlreadyPaid));
    assert_eq!(paid.pay(ACCOUNT), Err(OrderRejection::AlreadyPaid));
}

#[test]
fn given_a_pending_order_when_canceled_then_canceled_with_nothing_to_give_back() {
    let order = pending();
    assert_eq!(order.refundable(), None);
    let canceled = after(&order, &order.cancel(Reason::new("changed my mind").ok(), None).unwrap());
    assert_eq!(canceled.status, OrderStatus::Canceled);
    assert_eq!(canceled.refundable(), None);
}

#[test]
fn given_a_paid_order_when_canceled_then_the_money_goes_back_where_it_came_from() {
    let order = pending();
    let paid = after(&order, &order.pay(ACCOUNT).unwrap());
    let refund = paid.refundable().unwrap();
    assert_eq!(refund, Refund { account_id: ACCOUNT, amount: order.total().unwrap() });
    let canceled = after(&paid, &paid.cancel(None, Some(refund)).unwrap());
    assert_eq!(canceled.status, OrderStatus::Canceled);
    assert_eq!(canceled.refundable(), None);
    assert_eq!(canceled.payment.unwrap().account_id, ACCOUNT);
}

#[test]
fn given_a_paid_order_without_lines_when_canceled_then_nothing_is_given_back() {
    let order = given(&[create(None)]);
    let paid = after(&order, &order.pay(None).unwrap());
    assert_eq!(paid.refundable(), None);
}

#[test]
fn given_a_canceled_order_when_paid_or_canceled_then_refused() {
    let order = pending();
    let canceled = after(&order, &order.cancel(None, None).unwrap());
    assert_eq!(canceled.pay(None), Err(OrderRejection::AlreadyCanceled));
    assert_eq!(canceled.cancel(None, None), Err(OrderRejection::AlreadyCanceled));
}

#[test]
fn impossible_histories_are_recognised() {
    let order = pending();
    let (pay, cancel) = (order.pay(None).unwrap(), order.cancel(None, None).unwrap());
    let (paid, canceled) = (after(&order, &pay), after(&order, &cancel));
    assert!(Order::evolve(None, &pay).is_err());
    assert!(Order::evolve(Some(paid.clone()), &pay).is_err());
    assert!(Order::evolve(Some(paid), &create(None)).is_err());
    assert!(Order::evolve(Some(canceled), &pay).is_err());
}

#[test]
fn stored_events_come_back_as_they_were() {
    let order = pending();
    for event in [
        create(Some(contents())),
        create(None),
        order.pay(ACCOUNT).unwrap(),
        order.cancel(None, None).unwrap(),
    ] {
        let stored = OrderEvent::from_stored(event.event_type(), &event.data()).unwrap();
        assert_eq!(stored, event);
    }
}
