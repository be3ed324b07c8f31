//! What the books promise.

use daybook_events::{Journal, Placed, Position, Version};

use super::sample::{event_on, holder, opening};
use crate::{Books, Check, Projected, ProjectedPosting, Row};

/// A snapshot does not see what comes after it, and holds nobody up.
pub async fn a_snapshot_is_of_one_moment(journal: &dyn Journal<Row>, books: &dyn Books) {
    journal.append(&[event_on("a", 0)]).await.unwrap();
    let mut snapshot = books.snapshot().await.unwrap();
    journal.append(&[event_on("a", 1), event_on("b", 0)]).await.unwrap();
    assert_eq!(snapshot.count().await.unwrap(), 1);
    assert_eq!(snapshot.read(None, 10).await.unwrap().len(), 1);
    let mut later = books.snapshot().await.unwrap();
    assert_eq!(later.count().await.unwrap(), 3);
}

/// Events come stream by stream, in the order of versions, however small the pages are.
pub async fn the_log_is_read_stream_by_stream(journal: &dyn Journal<Row>, books: &dyn Books) {
    let batch =
        [event_on("b", 0), event_on("a", 0), event_on("b", 1), event_on("a", 1), event_on("c", 0)];
    journal.append(&batch).await.unwrap();
    let mut snapshot = books.snapshot().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = snapshot.read(after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.stream.clone(), last.version));
        seen.extend(page);
    }
    assert_eq!(seen.len(), batch.len());
    for pair in seen.windows(2) {
        let begins = pair[1].version == Version::new(1);
        let goes_on = pair[1].stream == pair[0].stream && pair[1].version == pair[0].version.next();
        assert!(begins != goes_on, "{pair:?}");
    }
}

/// Rows that were written with their events are what the log comes to; others are not.
pub async fn what_is_as_the_log_says_does_not_differ(
    journal: &dyn Journal<Row>,
    books: &dyn Books,
) {
    let (account, entry) = opening(1, holder(1), "10");
    let postings = entry.rows.iter().filter_map(|row| match row {
        Row::Posting(row) => {
            Some(ProjectedPosting { position: Position::new(1), row: row.clone() })
        }
        _ => None,
    });
    let page = Projected {
        accounts: vec![Placed { position: Position::new(1), thing: account.clone() }],
        positions: vec![Position::new(1)],
        postings: postings.collect(),
        ..Projected::default()
    };
    journal.append(&[entry]).await.unwrap();
    let mut snapshot = books.snapshot().await.unwrap();
    assert_eq!(snapshot.compare(&page).await.unwrap(), []);
    for check in Check::OF_THE_LOG.into_iter().chain(Check::OF_THE_REST) {
        assert_eq!(snapshot.check(check).await.unwrap(), [], "{check:?}");
    }

    let elsewhere = Placed { position: Position::new(2), thing: account.clone() };
    let moved = Projected { accounts: vec![elsewhere], ..page.clone() };
    let found = snapshot.compare(&moved).await.unwrap();
    assert!(found.len() == 1 && found[0].what.contains("position is 1"), "{found:?}");

    let closed = daybook_accounts::Account {
        status: daybook_accounts::AccountStatus::Closed,
        version: Version::new(2),
        ..account
    };
    let closed = Placed { position: Position::new(1), thing: closed };
    let without = Projected { accounts: vec![closed], postings: Vec::new(), ..page };
    let found = snapshot.compare(&without).await.unwrap();
    let checks: Vec<_> = found.iter().map(|difference| difference.check).collect();
    assert_eq!(checks, [Check::Accounts, Check::Postings, Check::Postings], "{found:?}");
}
