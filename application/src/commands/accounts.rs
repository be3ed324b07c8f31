//! Accounts: open, rename, close, and move money.

use daybook_accounts::{
    Account, AccountEvent, AccountId, AccountName, AccountRejection, OpenAccount, Reference,
};
use daybook_events::{Aggregate, EntryId, HolderId, TransferId};
use daybook_money::{Amount, Currency};

use super::Commands;
use crate::{
    Caller, Change, Command, CommandError, Decision, Key, Outcome, Receipt, Rejection, Request,
    States,
};

/// Money that comes in from outside or goes there.
#[derive(Clone, Debug)]
pub struct MoneyMovement {
    /// The account.
    pub account_id: AccountId,
    /// How much.
    pub amount: Amount,
    /// What the caller notes.
    pub reference: Option<Reference>,
}

/// Money that goes from one of the caller's accounts to another.
#[derive(Clone, Debug)]
pub struct TransferRequest {
    /// Where it comes from.
    pub from: AccountId,
    /// Where it goes: another account than `from`.
    pub to: AccountId,
    /// How much.
    pub amount: Amount,
    /// What the caller notes.
    pub reference: Option<Reference>,
}

impl Commands {
    /// Opens an account for the caller.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn open_account(
        &self,
        caller: &Caller,
        name: AccountName,
        currency: Currency,
        initial_balance: Option<Amount>,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let open = OpenAccount {
            account_id: AccountId::from_uuid(self.ids.next()),
            holder_id: caller.holder_id,
            name,
            currency,
            initial_balance,
            opened_at: self.clock.now(),
        };
        self.appender.execute(Open(open), request).await
    }

    /// Gives an account another name.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn rename_account(
        &self,
        caller: &Caller,
        account_id: AccountId,
        name: Option<AccountName>,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Rename { holder: caller.holder_id, account_id, name }, request).await
    }

    /// Closes an account.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn close_account(
        &self,
        caller: &Caller,
        account_id: AccountId,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender.execute(Close { holder: caller.holder_id, account_id }, request).await
    }

    /// Takes money in from outside.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn deposit(
        &self,
        caller: &Caller,
        movement: MoneyMovement,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender
            .execute(Move { holder: caller.holder_id, movement, way: Way::In }, request)
            .await
    }

    /// Lets money go outside.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn withdraw(
        &self,
        caller: &Caller,
        movement: MoneyMovement,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        self.appender
            .execute(Move { holder: caller.holder_id, movement, way: Way::Out }, request)
            .await
    }

    /// Moves money between two of the caller's accounts.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn transfer(
        &self,
        caller: &Caller,
        transfer: TransferRequest,
        request: Request,
    ) -> Result<Outcome, CommandError> {
        let id = TransferId::from_uuid(self.ids.next());
        self.appender
            .execute(Transfer { holder: caller.holder_id, id, request: transfer }, request)
            .await
    }
}

struct Open(OpenAccount);

impl Command for Open {
    fn actor(&self) -> Option<HolderId> {
        Some(self.0.holder_id)
    }

    fn needs(&self) -> Vec<Key> {
        Vec::new()
    }

    fn decide(&self, _states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let id = self.0.account_id;
        let event = Account::open(self.0.clone())?;
        Ok(Decision {
            changes: vec![Change::Account(id, event)],
            receipt: Receipt::AccountOpened(id),
        })
    }
}

struct Rename {
    holder: HolderId,
    account_id: AccountId,
    name: Option<AccountName>,
}

impl Command for Rename {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Account(self.account_id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let account = states.own_account(self.account_id, self.holder)?;
        let event = self.name.clone().and_then(|name| account.rename(name));
        let changes =
            event.map(|event| Change::Account(self.account_id, event)).into_iter().collect();
        Ok(Decision { changes, receipt: Receipt::Done })
    }
}

struct Close {
    holder: HolderId,
    account_id: AccountId,
}

impl Command for Close {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Account(self.account_id)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let event = states.own_account(self.account_id, self.holder)?.close();
        Ok(Decision {
            changes: vec![Change::Account(self.account_id, event)],
            receipt: Receipt::Done,
        })
    }
}

enum Way {
    In,
    Out,
}

struct Move {
    holder: HolderId,
    movement: MoneyMovement,
    way: Way,
}

impl Command for Move {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Account(self.movement.account_id)]
    }

    fn decide(&self, states: &States, entry: EntryId) -> Result<Decision, Rejection> {
        let MoneyMovement { account_id, amount, reference } = &self.movement;
        let account = states.own_account(*account_id, self.holder)?;
        let event = match self.way {
            Way::In => account.deposit(amount, reference.clone()),
            Way::Out => account.withdraw(amount, reference.clone()),
        }?;
        let receipt = moved(account, &event, entry)?;
        Ok(Decision { changes: vec![Change::Account(*account_id, event)], receipt })
    }
}

fn moved(
    account: &Account,
    event: &AccountEvent,
    entry_id: EntryId,
) -> Result<Receipt, AccountRejection> {
    // The account checked its balance before it answered the event.
    let after = Account::evolve(Some(account.clone()), event)
        .map_err(|_| AccountRejection::BalanceOutOfRange)?;
    Ok(Receipt::Moved { entry_id, balance: after.balance, available: after.available() })
}

struct Transfer {
    holder: HolderId,
    id: TransferId,
    request: TransferRequest,
}

impl Command for Transfer {
    fn actor(&self) -> Option<HolderId> {
        Some(self.holder)
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Account(self.request.from), Key::Account(self.request.to)]
    }

    fn decide(&self, states: &States, _entry: EntryId) -> Result<Decision, Rejection> {
        let TransferRequest { from, to, amount, reference } = &self.request;
        let source = states.own_account(*from, self.holder)?;
        let target = states.own_account(*to, self.holder)?;
        let (sent, received) = source.transfer(target, self.id, amount, reference.clone())?;
        let changes = vec![Change::Account(*from, sent), Change::Account(*to, received)];
        Ok(Decision { changes, receipt: Receipt::Transferred(self.id) })
    }
}
