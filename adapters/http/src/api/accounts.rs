//! Accounts, their money and their statements.

use daybook_accounts::{AccountId, AccountName, Reference, StatementEntry};
use daybook_application::{AccountView, MoneyMovement, Outcome, Receipt, TransferRequest};
use daybook_events::{Placed, TransferId};
use daybook_money::Currency;
use poem::Request;
use poem_openapi::OpenApi;
use poem_openapi::param::{Header, Path, Query};

use super::{Context, Group, not_found, receipt, unexpected};
use crate::auth::Bearer;
use crate::body::Body;
use crate::document::{
    Account, AccountOpened, AccountPatch, MoneyRequest, Moved, NewAccount, StatementLine, Transfer,
    TransferMade, TransferWanted,
};
use crate::page::{self, List, Place};
use crate::problem::{Changing, Closing, Failure, Listing, Making, Problem, Reading, Renaming};
use crate::reply::{Json, Nothing, Written};
use crate::request;
use crate::scalars::{Count, DateTime, Decimal, Key, Limit, PathId, read_uuid};

pub(crate) struct AccountsApi(pub Context);

#[OpenApi(tag = "Group::Accounts")]
impl AccountsApi {
    /// Your accounts
    ///
    /// Those that are open, oldest first.
    #[oai(path = "/accounts", method = "get", operation_id = "listAccounts")]
    async fn list(
        &self,
        caller: Bearer,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Where to go on: from the `Link` header of the page before.
        cursor: Query<Option<String>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<Account>>, Failure<Listing>> {
        self.0.reached(&min_position).await?;
        let list = List { name: "accounts", filter: None };
        let after = list.read(cursor.0.as_ref())?.map(|place| place.position);
        let limit = page::limit(limit.0);
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let accounts = self.0.queries.accounts(&caller.0, after, page::one_more(limit)).await?;
        let next = |last: &Placed<daybook_accounts::Account>| {
            format!("/accounts?limit={limit}&cursor={}", list.cursor(Place::at(last.position)))
        };
        let show = |account: &Placed<daybook_accounts::Account>| AccountView::from(&account.thing);
        Ok(page::reply(&accounts, limit, room, show, next))
    }

    /// Open an account
    ///
    /// Its currency and opening balance never change.
    #[oai(path = "/accounts", method = "post", operation_id = "openAccount")]
    async fn open(
        &self,
        caller: Bearer,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<NewAccount>,
    ) -> Result<Written<201, AccountOpened>, Failure<Making>> {
        let NewAccount { name, currency_code, initial_balance } = body.value;
        let name = account_name(&name)?;
        let currency = Currency::current(&currency_code, self.0.clock.now().seconds())
            .map_err(|error| Problem::field("currency_code", error))?;
        let initial_balance = initial_balance.map(|amount| amount.0);
        let balance = initial_balance.as_ref().map(request::value_of);
        // Nothing on it is the same however it is said.
        let balance = balance.unwrap_or_else(|| "0".to_owned());
        let understood = (&name, currency, balance);
        let request = request::of(request, key.0.as_ref(), "openAccount", &understood);
        let outcome = self
            .0
            .commands
            .open_account(&caller.0, name, currency, initial_balance, request)
            .await?;
        let Receipt::AccountOpened(id) = receipt(&outcome)? else {
            return Err(unexpected().into());
        };
        Ok(Written::new(&outcome, &AccountOpened { account_id: id.uuid() }))
    }

    /// An account
    ///
    /// Served from the cache for ten minutes, and never older than the last acknowledged write.
    #[oai(path = "/accounts/:id", method = "get", operation_id = "getAccount")]
    async fn get(
        &self,
        caller: Bearer,
        /// The account.
        id: Path<PathId>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Account>, Failure<Reading>> {
        let freshness = self.0.reached(&min_position).await?;
        let account = self.0.queries.account(&caller.0, account_id(&id)?, freshness).await?;
        Ok(Json::encoded(account.ok_or_else(not_found)?))
    }

    /// Rename an account
    #[oai(path = "/accounts/:id", method = "patch", operation_id = "changeAccount")]
    async fn change(
        &self,
        caller: Bearer,
        request: &Request,
        /// The account.
        id: Path<PathId>,
        body: Body<AccountPatch>,
    ) -> Result<Written<204, Nothing>, Failure<Renaming>> {
        let request = request::keyless(request);
        let id = account_id(&id)?;
        let name = body.value.name.as_deref().map(account_name).transpose()?;
        let outcome = self.0.commands.rename_account(&caller.0, id, name, request).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }

    /// Close an account
    ///
    /// What is left on it is paid out, as its last posting says. A closed account is not found any more.
    #[oai(path = "/accounts/:id", method = "delete", operation_id = "closeAccount")]
    async fn close(
        &self,
        caller: Bearer,
        request: &Request,
        /// The account.
        id: Path<PathId>,
    ) -> Result<Written<204, Nothing>, Failure<Closing>> {
        let request = request::keyless(request);
        let outcome = self.0.commands.close_account(&caller.0, account_id(&id)?, request).await?;
        receipt(&outcome)?;
        Ok(Written::empty(&outcome))
    }

    /// Deposit money
    ///
    /// Money comes in from outside.
    #[oai(path = "/accounts/:id/deposits", method = "post", operation_id = "deposit")]
    async fn deposit(
        &self,
        caller: Bearer,
        request: &Request,
        /// The account.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<MoneyRequest>,
    ) -> Result<Written<201, Moved>, Failure<Changing>> {
        let movement = movement(&id, body.value)?;
        let request = request::of(request, key.0.as_ref(), "deposit", &understood(&movement));
        let outcome = self.0.commands.deposit(&caller.0, movement, request).await?;
        Ok(moved(&outcome)?)
    }

    /// Withdraw money
    ///
    /// Money goes outside.
    #[oai(path = "/accounts/:id/withdrawals", method = "post", operation_id = "withdraw")]
    async fn withdraw(
        &self,
        caller: Bearer,
        request: &Request,
        /// The account.
        id: Path<PathId>,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<MoneyRequest>,
    ) -> Result<Written<201, Moved>, Failure<Changing>> {
        let movement = movement(&id, body.value)?;
        let request = request::of(request, key.0.as_ref(), "withdraw", &understood(&movement));
        let outcome = self.0.commands.withdraw(&caller.0, movement, request).await?;
        Ok(moved(&outcome)?)
    }

    /// Transfer money
    ///
    /// From one of your accounts to another of the same currency: both change, or neither.
    #[oai(path = "/transfers", method = "post", operation_id = "transfer")]
    async fn transfer(
        &self,
        caller: Bearer,
        request: &Request,
        /// Makes the request safe to repeat: the same key and body have one outcome.
        #[oai(name = "Idempotency-Key")]
        key: Header<Option<Key>>,
        body: Body<TransferWanted>,
    ) -> Result<Written<201, TransferMade>, Failure<Changing>> {
        let TransferWanted { from_account_id, to_account_id, amount, reference } = body.value;
        let from = account_field("from_account_id", &from_account_id.0)?;
        let to = account_field("to_account_id", &to_account_id.0)?;
        if from == to {
            return Err(Problem::field(
                "to_account_id",
                "must be another account than from_account_id",
            )
            .into());
        }
        let transfer =
            TransferRequest { from, to, amount: amount.0, reference: reference_of(reference)? };
        let value = request::value_of(&transfer.amount);
        let understood = (from, to, value, &transfer.reference);
        let request = request::of(request, key.0.as_ref(), "transfer", &understood);
        let outcome = self.0.commands.transfer(&caller.0, transfer, request).await?;
        let Receipt::Transferred(id) = receipt(&outcome)? else { return Err(unexpected().into()) };
        Ok(Written::new(&outcome, &TransferMade { transfer_id: id.uuid() }))
    }

    /// A transfer
    ///
    /// One that is from or to an account of yours.
    #[oai(path = "/transfers/:id", method = "get", operation_id = "getTransfer")]
    async fn get_transfer(
        &self,
        caller: Bearer,
        /// The transfer.
        id: Path<PathId>,
    ) -> Result<Json<Transfer>, Failure<Reading>> {
        let id = id.0.0.map(TransferId::from_uuid).ok_or_else(not_found)?;
        let transfer = self.0.queries.transfer(&caller.0, id).await?;
        Ok(Json::of(&shown(transfer.ok_or_else(not_found)?)))
    }

    /// The statement of an account
    ///
    /// Every change of its money, newest first, with the balance after it.
    #[oai(path = "/accounts/:id/entries", method = "get", operation_id = "listEntries")]
    async fn statement(
        &self,
        caller: Bearer,
        /// The account.
        id: Path<PathId>,
        /// How many at most; 100 where it isn't given.
        limit: Query<Option<Limit>>,
        /// Where to go on: from the `Link` header of the page before.
        cursor: Query<Option<String>>,
        /// Answer nothing older than this position of the log, which you know from `Daybook-Position` or a
        /// stream: waits for it, for two seconds at most.
        #[oai(name = "Daybook-Min-Position")]
        min_position: Header<Option<Count>>,
    ) -> Result<Json<Vec<StatementLine>>, Failure<Reading>> {
        self.0.reached(&min_position).await?;
        let (id, limit) = (account_id(&id)?, page::limit(limit.0));
        let of = id.to_string();
        let list = List { name: "entries", filter: Some(&of) };
        let before = list.read(cursor.0.as_ref())?.map(|place| place.position);
        let room = self.0.replies.page(caller.0.holder_id).await?;
        let entries =
            self.0.queries.statement(&caller.0, id, before, page::one_more(limit)).await?;
        let entries = entries.ok_or_else(not_found)?;
        let next = |last: &StatementEntry| {
            let cursor = list.cursor(Place::at(last.position));
            format!("/accounts/{id}/entries?limit={limit}&cursor={cursor}")
        };
        Ok(page::reply(&entries, limit, room, line, next))
    }
}

fn account_id(id: &PathId) -> Result<AccountId, Problem> {
    id.0.map(AccountId::from_uuid).ok_or_else(not_found)
}

/// An account that a field of the body names.
pub(super) fn account_field(field: &str, text: &str) -> Result<AccountId, Problem> {
    read_uuid(text).map(AccountId::from_uuid).ok_or_else(|| Problem::field(field, "must be a UUID"))
}

fn account_name(text: &str) -> Result<AccountName, Problem> {
    AccountName::new(text).map_err(|error| Problem::field("name", error))
}

fn reference_of(text: Option<String>) -> Result<Option<Reference>, Problem> {
    let reference = text.map(|text| Reference::new(&text)).transpose();
    reference.map_err(|error| Problem::field("reference", error))
}

fn movement(id: &PathId, body: MoneyRequest) -> Result<MoneyMovement, Problem> {
    let MoneyRequest { amount, reference } = body;
    Ok(MoneyMovement {
        account_id: account_id(id)?,
        amount: amount.0,
        reference: reference_of(reference)?,
    })
}

/// What a movement says, however it is spelt.
fn understood(movement: &MoneyMovement) -> impl serde::Serialize + '_ {
    (movement.account_id, request::value_of(&movement.amount), &movement.reference)
}

fn moved(outcome: &Outcome) -> Result<Written<201, Moved>, Problem> {
    let Receipt::Moved { entry_id, balance, available } = receipt(outcome)? else {
        return Err(unexpected());
    };
    let moved = Moved {
        entry_id: entry_id.uuid(),
        balance: Decimal(balance.amount()),
        available: Decimal(available.amount()),
    };
    Ok(Written::new(outcome, &moved))
}

fn shown(transfer: daybook_accounts::Transfer) -> Transfer {
    Transfer {
        transfer_id: transfer.id.uuid(),
        from_account_id: transfer.from.uuid(),
        to_account_id: transfer.to.uuid(),
        amount: Decimal(transfer.amount.amount()),
        currency_code: transfer.amount.currency().code().to_owned(),
        timestamp: DateTime(transfer.timestamp.to_string()),
        reference: transfer.reference,
        entry_id: transfer.entry_id.uuid(),
        position: Count(transfer.position.get()),
    }
}

fn line(entry: &StatementEntry) -> StatementLine {
    StatementLine {
        entry_id: entry.entry_id.uuid(),
        position: Count(entry.position.get()),
        kind: entry.event_type.clone(),
        amount: Decimal(entry.amount.amount()),
        balance: Decimal(entry.balance.amount()),
        timestamp: DateTime(entry.timestamp.to_string()),
        reference: entry.reference.clone(),
        order_id: entry.order_id,
        transfer_id: entry.transfer.map(|side| side.id.uuid()),
        counter_account_id: entry.transfer.map(|side| side.counter_account.uuid()),
    }
}
