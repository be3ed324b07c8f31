//! Orders: create, pay, cancel. Paying from an account moves the money in the same entry.

use daybook_accounts::AccountId;
use daybook_events::{EntryId, HolderId};
use daybook_orders::{Contents, CreateOrder, Order, OrderId, Reason, Refund};

use super::Commands;
use crate::{
    Caller, Change, Command, CommandError, Decision, Key, Outcome, Receipt, Rejection, Request,
    States,
};

/// An order to be made.
#[derive(Clone, Debug, Default)]
pub struct NewOrder {
    /// What is ordered; `None` for an order without lines.
    pub contents: Option<Contents>,
}

impl Commands {
    /// Makes an order.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn create_order(
        &self,
        caller: &Caller,
        order: NewOrder,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let create = CreateOrder {
            order_id: OrderId::from_uuid(self.ids.next()),
            holder_id: caller.holder_id,
            contents: order.contents,
            created_at: self.clock.now(),
        };
        self.appender.execute(Create(create), request).await
    }

    /// Pays an order from one of the caller's accounts, or records a payment outside Daybook.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn pay_order(
        &self,
        caller: &Caller,
        order_id: OrderId,
        account_id: Option<AccountId>,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Pay { holder: caller.holder_id, order_id, account_id }, request).await
    }

    /// Cancels an order; a paid one's money goes back where it came from.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn cancel_order(
        &self,
        caller: &Caller,
        order_id: OrderId,
        reason: Option<Reason>,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Cancel { holder: caller.holder_id, order_id, reason }, request).await
    }
}

struct Create(CreateOrder);

impl Command for Create {
    fn actor(&self) -> Option<HolderId> {
        Some(self.0.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        Vec::new()
    }

    fn decide(&self, _states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let id = self.0.order_id;
        let event = Order::create(self.0.clone());
        Ok(Decision { changes: vec![Change::Order(id, event)], receipt: Receipt::OrderCreated(id) })
    }
}

struct Pay {
    holder: HolderId,
    order_id: OrderId,
    account_id: Option<AccountId>,
}

impl Command for Pay {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    fn needs(&self) -> Vec<Key> {
        let account = self.account_id.map(Key::Account);
        std::iter::once(Key::Order(self.order_id)).chain(account).collect()
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let order = states.own_order(self.order_id, self.holder)?;
        let account = match self.account_id {
            Some(id) => Some(states.own_account(id, self.holder)?),
            None => None,
        };
        let mut changes =
            vec![Change::Order(self.order_id, order.pay(self.account_id.map(AccountId::uuid))?)];
        if let (Some(account), Some(total)) = (account, order.total()) {
            let debit = account.pay_order(self.order_id.uuid(), total)?;
            changes.extend(debit.map(|event| Change::Account(account.id, event)));
        }
        Ok(Decision { changes, receipt: Receipt::Done })
    }
}

struct Cancel {
    holder: HolderId,
    order_id: OrderId,
    reason: Option<Reason>,
}

impl Command for Cancel {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    /// The account that paid is loaded with the order: only the order knows it.
    fn needs(&self) -> Vec<Key> {
        vec![Key::Order(self.order_id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let order = states.own_order(self.order_id, self.holder)?;
        let (refund, credit) = match order.refundable() {
            Some(refund) => give_back(states, order, refund)?,
            None => (None, None),
        };
        let canceled = order.cancel(self.reason.clone(), refund)?;
        let changes =
            std::iter::once(Change::Order(self.order_id, canceled)).chain(credit).collect();
        Ok(Decision { changes, receipt: Receipt::Done })
    }
}

/// Where the money goes: back to the account that paid, or outside where the payment came from
/// outside or the account is closed (what was on it went outside too).
fn give_back(
    states: &States,
    order: &Order,
    refund: Refund,
) -> Result<(Option<Refund>, Option<Change>), Rejection> {
    let payer = refund.account_id.and_then(|id| states.account(AccountId::from_uuid(id)));
    match payer.filter(|account| account.is_open()) {
        Some(account) => {
            let credit = account.refund_order(order.id.uuid(), refund.amount)?;
            Ok((Some(refund), Some(Change::Account(account.id, credit))))
        }
        None => Ok((Some(Refund { account_id: None, ..refund }), None)),
    }
}
