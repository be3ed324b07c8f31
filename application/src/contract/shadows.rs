//! What read models beside the live ones promise.

use std::sync::Arc;
use std::time::Duration;

use daybook_accounts::{Account, AccountName, AccountRepository};
use daybook_events::{Journal, Placed, Position};

use super::sample::{event_on, holder, opening};
use super::soon;
use crate::{Projected, RebuildError, Replace, Row, Shadow, Shadows, Stale};

/// Begins, as soon as one that was given up is gone.
async fn begun(shadows: &dyn Shadows) -> Box<dyn Shadow> {
    soon("a rebuild begins", async {
        loop {
            match shadows.begin().await {
                Ok(shadow) => return shadow,
                Err(RebuildError::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// The account as the log has it, and as it is stored: under another name.
async fn misnamed(journal: &dyn Journal<Row>) -> (Account, Account) {
    let (account, mut entry) = opening(1, holder(1), "0");
    let wrong = Account { name: AccountName::new("Wrong").unwrap(), ..account.clone() };
    entry.rows = vec![Row::Account(wrong.clone())];
    journal.append(&[entry]).await.unwrap();
    (account, wrong)
}

fn page(account: &Account) -> Projected {
    Projected {
        accounts: vec![Placed { position: Position::new(1), thing: account.clone() }],
        positions: vec![Position::new(1)],
        ..Projected::default()
    }
}

/// Where one is at work, a second is refused; once it has ended, it is not.
pub async fn one_rebuild_is_at_work_at_a_time(shadows: &dyn Shadows) {
    for _ in 0..2 {
        let mut first = begun(shadows).await;
        assert_eq!(shadows.begin().await.err(), Some(RebuildError::Busy));
        first.end().await.unwrap();
    }
}

/// What a rebuild that did not come to its end has written is not seen by the next, nor by anyone.
pub async fn what_a_rebuild_left_is_removed(
    shadows: &dyn Shadows,
    accounts: &dyn AccountRepository,
) {
    let (account, _) = opening(1, holder(1), "10");
    let mut left = begun(shadows).await;
    left.write(&page(&account)).await.unwrap();
    let placed = Placed { position: Position::new(1), thing: account.clone() };
    assert_eq!(left.accounts(&[account.id]).await.unwrap(), [placed]);
    drop(left);
    let mut next = begun(shadows).await;
    assert_eq!(next.accounts(&[account.id]).await.unwrap(), []);
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), []);
    next.end().await.unwrap();
}

/// From [`Shadow::lock`] on nobody appends; what was appended before is seen.
pub async fn nobody_appends_while_they_are_kept_from_it(
    journal: Arc<dyn Journal<Row>>,
    shadows: &dyn Shadows,
) {
    let mut shadow = begun(shadows).await;
    journal.append(&[event_on("a", 0)]).await.unwrap();
    shadow.lock().await.unwrap();
    let appender = Arc::clone(&journal);
    let appending = tokio::spawn(async move { appender.append(&[event_on("a", 1)]).await });
    assert_eq!(shadow.events(Position::ZERO, 10).await.unwrap().len(), 1);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(shadow.events(Position::ZERO, 10).await.unwrap().len(), 1);
    assert!(!appending.is_finished());
    let rebuilt = shadow.replace(Replace::Allowed).await.unwrap();
    assert_eq!(rebuilt.replaced(), 0);
    soon("the append goes on", appending).await.unwrap().unwrap();
    shadow.end().await.unwrap();
}

/// Rows that differ are replaced, and told under the holder they are cached for.
pub async fn what_is_wrong_is_replaced_and_told(
    journal: &dyn Journal<Row>,
    shadows: &dyn Shadows,
    accounts: &dyn AccountRepository,
) {
    let (account, wrong) = misnamed(journal).await;
    let mut shadow = begun(shadows).await;
    shadow.write(&page(&account)).await.unwrap();
    shadow.compare().await.unwrap();
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), [wrong]);
    shadow.lock().await.unwrap();
    let rebuilt = shadow.replace(Replace::Allowed).await.unwrap();
    assert_eq!((rebuilt.accounts, rebuilt.orders, rebuilt.postings), (1, 0, 0));
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), std::slice::from_ref(&account));
    let stale = Stale::Account(account.id, account.holder_id, account.version);
    // As it was, and as it is.
    assert_eq!(shadow.stale(0, 10).await.unwrap(), [stale, stale]);
    assert_eq!(shadow.stale(1, 10).await.unwrap(), [stale]);
    shadow.end().await.unwrap();
}

/// Where that is forbidden everything stays as it is, and the next append is not kept waiting.
pub async fn what_may_not_be_replaced_is_not(
    journal: &dyn Journal<Row>,
    shadows: &dyn Shadows,
    accounts: &dyn AccountRepository,
) {
    let (account, wrong) = misnamed(journal).await;
    let mut shadow = begun(shadows).await;
    shadow.write(&page(&account)).await.unwrap();
    shadow.compare().await.unwrap();
    shadow.lock().await.unwrap();
    let refused = shadow.replace(Replace::Forbidden).await;
    assert_eq!(refused, Err(RebuildError::Served(1)));
    shadow.end().await.unwrap();
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), [wrong]);
    soon("an append", journal.append(&[event_on("a", 0)])).await.unwrap();
}
