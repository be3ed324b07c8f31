//! What the read models hold of an event: the same whether it is being written or read back.

use daybook_accounts::{Account, AccountEvent, Posting};
use daybook_money::MoneyError;
use daybook_orders::{OrderEvent, OrderId, Refund};

use crate::PostingRow;

/// The postings of an account's event, which is number `event` of its entry and left the account so.
pub(crate) fn account_postings(
    after: &Account,
    event: &AccountEvent,
    index: usize,
) -> Result<Vec<PostingRow>, MoneyError> {
    let row = |posting: Posting| PostingRow {
        event: index,
        ledger: posting.ledger,
        amount: posting.amount,
        balance: posting.ledger.system_name().is_none().then_some(after.balance),
        reference: event.reference().map(|text| text.as_str().to_owned()),
        order_id: event.order_id(),
    };
    Ok(event.postings(after.id)?.into_iter().map(row).collect())
}

/// The postings of an order's event, which is number `event` of its entry.
pub(crate) fn order_postings(
    id: OrderId,
    event: &OrderEvent,
    index: usize,
) -> Result<Vec<PostingRow>, MoneyError> {
    let row = |posting: Posting| PostingRow {
        event: index,
        ledger: posting.ledger,
        amount: posting.amount,
        balance: None,
        reference: None,
        order_id: Some(id.uuid()),
    };
    Ok(sales(event)?.into_iter().map(row).collect())
}

/// What an order's event moves. What an account pays or gets back follows from the account's own
/// event in the same entry; here is the other side of it.
fn sales(event: &OrderEvent) -> Result<Vec<Posting>, MoneyError> {
    use daybook_accounts::Ledger::{Outside, Sales};
    match event {
        OrderEvent::OrderPaid(paid) => match (paid.amount, paid.account_id) {
            (None, _) => Ok(Vec::new()),
            (Some(amount), None) => Posting::pair(Outside, Sales, amount),
            (Some(amount), Some(_)) if amount.is_zero() => Ok(Vec::new()),
            (Some(amount), Some(_)) => Ok(vec![Posting { ledger: Sales, amount }]),
        },
        OrderEvent::OrderCanceled(canceled) => match &canceled.refund {
            None => Ok(Vec::new()),
            Some(Refund { account_id: None, amount }) => Posting::pair(Sales, Outside, *amount),
            Some(Refund { account_id: Some(_), amount }) => {
                Ok(vec![Posting { ledger: Sales, amount: amount.checked_neg()? }])
            }
        },
        OrderEvent::OrderCreated(_) => Ok(Vec::new()),
    }
}
