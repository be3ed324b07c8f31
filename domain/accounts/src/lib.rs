//! Money accounts and the people who hold them.
//!
//! An [`Account`] is the state of one stream; its methods decide what may happen to it and answer
//! the event, or an [`AccountRejection`]. A balance is never set: it is the sum of the
//! [`Posting`]s that follow from the events, and every event's postings, together with those of
//! the events it is appended with, sum to zero.
//!
//! Pure: it knows the log's vocabulary and money, and nothing of orders, storage or transport. To
//! add a rule, add it to the decision in `account.rs` with a given-when-then test beside it; to
//! add an event, add its data in `event.rs`, what it does in `Account::evolve`, and its postings.
#![cfg_attr(
    test,
    expect(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        reason = "a test may stop at the first surprise"
    )
)]

mod account;
mod event;
mod holder;
mod password;
mod ports;
mod posting;
mod session;

pub use account::{Account, AccountName, AccountRejection, AccountStatus, OpenAccount};
pub use event::{
    AccountClosed, AccountEvent, AccountOpened, AccountRenamed, MoneyDeposited, MoneyWithdrawn,
    OrderPaymentDebited, OrderRefundCredited, Reference, TransferReceived, TransferSent,
};
pub use holder::{
    Email, FullName, Holder, HolderEvent, HolderRegistered, InvalidEmail, PasswordChanged,
    PasswordHash, SessionEnded,
};
pub use password::{InvalidPassword, Password};
pub use ports::{
    AccountPage, AccountRepository, HolderRepository, RepositoryError, StatementEntry,
    StatementPage, Transfer, TransferSide,
};
#[cfg(feature = "mock")]
pub use ports::{MockAccountRepository, MockHolderRepository};
pub use posting::{Ledger, Posting};
pub use session::{HolderStanding, Session, SessionId};

daybook_events::define_id! {
    /// Names an account.
    AccountId
}

impl AccountId {
    /// The stream of this account's events.
    pub fn stream(self) -> daybook_events::StreamId {
        daybook_events::StreamId::new("account", self)
    }
}
