//! What every journal promises.

use std::sync::Arc;

use daybook_accounts::{AccountRepository, HolderRepository};
use daybook_events::{
    Entry, EntryId, EntryOutcome, EventData, EventFilter, Journal, NewTask, Origin, Position,
    Priority, TaskId, TaskKind, TaskRepository, Timestamp, Version,
};
use uuid::Uuid;

use super::sample::{account_entry, empty, event_on, holder, keyed, opening, registration, stream};
use crate::Row;

pub(super) fn committed(position: u64) -> EntryOutcome {
    EntryOutcome::Committed { position: Position::new(position) }
}

pub(super) async fn append(journal: &dyn Journal<Row>, batch: &[Entry<Row>]) -> Vec<EntryOutcome> {
    journal.append(batch).await.unwrap()
}

async fn positions(
    journal: &dyn Journal<Row>,
    filter: EventFilter,
    after: u64,
    limit: u32,
) -> Vec<u64> {
    let events = journal.read(&filter, Position::new(after), limit).await.unwrap();
    events.iter().map(|event| event.position.get()).collect()
}

/// Events get positions without gaps, in the order of the batch, and come back as they were given.
pub async fn events_get_gapless_positions_in_the_order_of_the_batch(journal: &dyn Journal<Row>) {
    assert_eq!(journal.head().await.unwrap(), Position::ZERO);
    let mut two = event_on("a", 0);
    two.events.extend(event_on("b", 0).events);
    let batch = [two, event_on("c", 0)];
    assert_eq!(append(journal, &batch).await, [committed(2), committed(3)]);
    assert_eq!(append(journal, &[event_on("a", 1)]).await, [committed(4)]);
    assert_eq!(journal.head().await.unwrap(), Position::new(4));

    let events = journal.read(&EventFilter::All, Position::ZERO, 10).await.unwrap();
    assert_eq!(events.iter().map(|event| event.position.get()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let (given, found) = (&batch[0].events[1], &events[1]);
    assert_eq!((given.id, &given.stream, given.version), (found.id, &found.stream, found.version));
    assert_eq!((given.event_type, &given.data), (&*found.event_type, &found.data));
    assert_eq!((batch[0].timestamp, &batch[0].metadata), (found.timestamp, &found.metadata));
    assert_eq!(found.owner, given.owner);
}

/// Pages are read by position, of everything, of one holder or of one stream.
pub async fn events_are_read_by_position_holder_and_stream(journal: &dyn Journal<Row>) {
    let mut others = event_on("other", 0);
    others.events[0].owner = Some(holder(2));
    append(journal, &[event_on("a", 0), others, event_on("a", 1), event_on("b", 0)]).await;
    assert_eq!(positions(journal, EventFilter::All, 1, 2).await, [2, 3]);
    assert_eq!(positions(journal, EventFilter::Owner(holder(1)), 0, 10).await, [1, 3, 4]);
    assert_eq!(positions(journal, EventFilter::Owner(holder(2)), 0, 10).await, [2]);
    assert_eq!(positions(journal, EventFilter::Stream(stream("a")), 0, 10).await, [1, 3]);
    assert_eq!(positions(journal, EventFilter::Stream(stream("a")), 1, 10).await, [3]);
    assert_eq!(positions(journal, EventFilter::All, 4, 10).await, Vec::<u64>::new());
    assert_eq!(positions(journal, EventFilter::All, u64::MAX, 10).await, Vec::<u64>::new());
}

/// A page may be bounded in bytes of data: it ends with the event that reaches the bound, and never
/// stays empty where there is something.
pub async fn pages_are_bounded_in_bytes(journal: &dyn Journal<Row>) {
    let sized = |name, bytes: usize| {
        let mut entry = event_on(name, 0);
        entry.events[0].data = EventData::of(&"x".repeat(bytes - 2));
        entry
    };
    let batch = [sized("a", 100), sized("b", 10_000), sized("c", 100), sized("d", 100)];
    append(journal, &batch).await;
    let page = async |filter: EventFilter, after: u64, limit, bytes| {
        let events =
            journal.read_within(&filter, Position::new(after), limit, bytes).await.unwrap();
        events.iter().map(|event| event.position.get()).collect::<Vec<_>>()
    };
    assert_eq!(page(EventFilter::All, 0, 10, u64::MAX).await, [1, 2, 3, 4]);
    assert_eq!(page(EventFilter::All, 0, 10, 100).await, [1]);
    assert_eq!(page(EventFilter::All, 0, 10, 101).await, [1, 2]);
    assert_eq!(page(EventFilter::All, 1, 10, 1).await, [2]);
    assert_eq!(page(EventFilter::All, 2, 10, 101).await, [3, 4]);
    assert_eq!(page(EventFilter::All, 0, 1, 20_000).await, [1]);
    assert_eq!(page(EventFilter::Stream(stream("c")), 0, 10, 1).await, [3]);
    assert_eq!(page(EventFilter::Owner(holder(1)), 2, 10, 1).await, [3]);
    assert_eq!(page(EventFilter::All, 4, 10, 1).await, Vec::<u64>::new());
}

/// An entry whose stream has moved is a conflict, alone, and nothing of it is written.
pub async fn a_moved_stream_is_a_conflict_alone(journal: &dyn Journal<Row>) {
    append(journal, &[event_on("a", 0)]).await;
    let outcomes = append(journal, &[event_on("b", 0), event_on("a", 0), event_on("c", 0)]).await;
    assert_eq!(outcomes, [committed(2), EntryOutcome::Conflict, committed(3)]);
    assert_eq!(append(journal, &[event_on("d", 1)]).await, [EntryOutcome::Conflict]);
    assert_eq!(positions(journal, EventFilter::Stream(stream("a")), 0, 10).await, [1]);
    let streams = [stream("a"), stream("nothing"), stream("c")];
    let versions: Vec<_> =
        journal.versions(&streams).await.unwrap().into_iter().map(Version::get).collect();
    assert_eq!(versions, [1, 0, 1]);
}

/// Earlier entries of the same batch count: each is checked against what the ones before it leave.
pub async fn earlier_entries_of_the_batch_count(journal: &dyn Journal<Row>) {
    let outcomes = append(journal, &[event_on("a", 0), event_on("a", 1), event_on("a", 1)]).await;
    assert_eq!(outcomes, [committed(1), committed(2), EntryOutcome::Conflict]);
}

/// What was decided on an entry that was left out is left out too, also where others have brought
/// the stream to the very version that entry would have.
pub async fn what_was_decided_on_an_entry_left_out_is_a_conflict(journal: &dyn Journal<Row>) {
    append(journal, &[event_on("a", 0), event_on("a", 1)]).await;
    let (first, then) = (event_on("a", 1), event_on("a", 2));
    assert_eq!(
        append(journal, &[first, then]).await,
        [EntryOutcome::Conflict, EntryOutcome::Conflict]
    );
    assert_eq!(positions(journal, EventFilter::All, 0, 10).await, [1, 2]);
}

/// A key that has an outcome already and comes twice in a batch writes nothing and fails nobody.
pub async fn a_remembered_key_twice_in_a_batch_writes_nothing(journal: &dyn Journal<Row>) {
    append(journal, &[keyed(event_on("a", 0), None, "k", "{}")]).await;
    let again = |name| keyed(event_on(name, 0), None, "k", "{}");
    let outcomes = append(journal, &[again("b"), again("c"), event_on("d", 0)]).await;
    assert!(matches!(outcomes[0], EntryOutcome::Replayed(_)), "{outcomes:?}");
    assert_eq!(outcomes[1..], [EntryOutcome::Conflict, committed(2)]);
}

/// A stream that is only read for a decision is checked too.
pub async fn a_stream_that_was_only_read_is_checked(journal: &dyn Journal<Row>) {
    append(journal, &[event_on("read", 0)]).await;
    let deciding_on = |version| {
        let mut entry = event_on("written", 0);
        entry.expected.push((stream("read"), Version::new(version)));
        entry
    };
    assert_eq!(append(journal, &[deciding_on(0)]).await, [EntryOutcome::Conflict]);
    assert_eq!(append(journal, &[deciding_on(1)]).await, [committed(2)]);
}

/// An entry without events leaves no event; its outcome is remembered all the same.
pub async fn an_entry_without_events_is_remembered(journal: &dyn Journal<Row>) {
    append(journal, &[event_on("a", 0)]).await;
    let refusal = |version| {
        let expected = vec![(stream("a"), Version::new(version))];
        keyed(Entry { expected, ..empty() }, Some(holder(1)), "refused", "no")
    };
    assert_eq!(append(journal, &[refusal(0)]).await, [EntryOutcome::Conflict]);
    assert_eq!(append(journal, &[refusal(1)]).await, [committed(1)]);
    assert_eq!(journal.head().await.unwrap(), Position::new(1));
    let stored = journal.find_outcome(Some(holder(1)), "refused").await.unwrap().unwrap();
    assert_eq!((stored.outcome.as_str(), stored.position), ("no", Position::new(1)));
}

/// An entry whose key has an outcome is replayed, alone, whatever else it says; keys of other
/// callers are others.
pub async fn a_remembered_key_is_replayed_alone(journal: &dyn Journal<Row>) {
    let one = Some(holder(1));
    assert_eq!(
        append(journal, &[keyed(event_on("a", 0), one, "k", "first")]).await,
        [committed(1)]
    );
    let batch = [
        keyed(event_on("a", 0), one, "k", "second"),
        keyed(event_on("b", 0), Some(holder(2)), "k", "other"),
        keyed(event_on("c", 0), None, "k", "nobody"),
    ];
    let outcomes = append(journal, &batch).await;
    let EntryOutcome::Replayed(stored) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!((stored.outcome.as_str(), stored.position), ("first", Position::new(1)));
    assert_eq!(
        Some(stored.fingerprint),
        batch[0].idempotency.as_ref().map(|record| record.fingerprint)
    );
    assert_eq!(outcomes[1..], [committed(2), committed(3)]);
    assert_eq!(journal.find_outcome(None, "k").await.unwrap().unwrap().outcome, "nobody");
    assert_eq!(journal.find_outcome(one, "other").await.unwrap(), None);
}

/// A key that is used twice in a batch is a conflict the second time.
pub async fn a_key_twice_in_a_batch_is_a_conflict(journal: &dyn Journal<Row>) {
    let twice = |name| keyed(event_on(name, 0), Some(holder(1)), "k", name);
    assert_eq!(
        append(journal, &[twice("a"), twice("b")]).await,
        [committed(1), EntryOutcome::Conflict]
    );
}

/// Outcomes are forgotten by their age, a bounded number at a time.
pub async fn outcomes_are_forgotten_by_age(journal: &dyn Journal<Row>) {
    let at = |name: &str, micros| {
        let entry = keyed(event_on(name, 0), None, name, "outcome");
        Entry { timestamp: Timestamp::from_micros(micros), ..entry }
    };
    append(journal, &[at("old", 1), at("older", 0), at("new", 10)]).await;
    let before = Timestamp::from_micros(10);
    assert_eq!(journal.forget_outcomes(before, 1).await.unwrap(), 1);
    assert_eq!(journal.forget_outcomes(before, 9).await.unwrap(), 1);
    assert_eq!(journal.forget_outcomes(before, 9).await.unwrap(), 0);
    assert!(journal.find_outcome(None, "new").await.unwrap().is_some());
    assert!(journal.find_outcome(None, "old").await.unwrap().is_none());
}

/// What can't be written is refused alone: its neighbours are committed without a gap, what was decided
/// on it is a conflict, and its outcome is not remembered.
pub async fn what_cant_be_written_is_refused_alone(journal: &dyn Journal<Row>) {
    append(journal, &[registration(7, "ada@example.com").1]).await;
    // The same holder again, behind the back of the stream that would tell.
    let (_, again) = registration(7, "eve@example.com");
    let bad = |name| {
        let entry = event_on(name, 0);
        keyed(Entry { rows: again.rows.clone(), ..entry }, Some(holder(1)), name, "done")
    };
    let mut batch: Vec<_> = (0..160).map(|number| event_on(&format!("good{number}"), 0)).collect();
    batch.insert(50, bad("bad"));
    batch.insert(51, event_on("bad", 1));
    batch.push(bad("worse"));
    let outcomes = append(journal, &batch).await;
    let mut position = 1;
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match (number, outcome) {
            (50 | 162, EntryOutcome::Refused(_)) | (51, EntryOutcome::Conflict) => {}
            (50 | 51 | 162, other) => panic!("{number}: {other:?}"),
            (_, outcome) => {
                position += 1;
                assert_eq!(outcome, committed(position), "{number}");
            }
        }
    }
    let expected: Vec<_> = (1..=161).collect();
    assert_eq!(positions(journal, EventFilter::All, 0, 1_000).await, expected);
    for key in ["bad", "worse"] {
        assert_eq!(journal.find_outcome(Some(holder(1)), key).await.unwrap(), None);
    }
    // Alone it is refused as well, and nothing stands in the way of others.
    assert!(matches!(append(journal, &[bad("bad")]).await[..], [EntryOutcome::Refused(_)]));
    assert_eq!(append(journal, &[event_on("bad", 0)]).await, [committed(162)]);
    journal.check().await.unwrap();
}

/// Entries are found by their id once they are committed, and only then, where they were appended
/// after the position; and whatever that is, in a log that does not reach it.
pub async fn entries_are_found(journal: &dyn Journal<Row>) {
    let mut two = event_on("a", 0);
    two.events.extend(event_on("b", 0).events);
    let conflict = event_on("a", 7);
    let (found, lost) = (two.id, conflict.id);
    append(journal, &[two, conflict]).await;
    let ids = [lost, found, EntryId::from_uuid(Uuid::now_v7())];
    for (after, position) in
        [(0, Some(2)), (1, Some(2)), (2, None), (3, Some(2)), (u64::MAX, Some(2))]
    {
        let expected = [None, position.map(Position::new), None];
        let after = Position::new(after);
        assert_eq!(journal.find_entries(&ids, after).await.unwrap(), expected, "{after}");
    }
}

/// A checkpoint is remembered, by reader, and never goes back.
pub async fn a_checkpoint_never_goes_back(journal: &dyn Journal<Row>) {
    assert_eq!(journal.checkpoint("relay").await.unwrap(), Position::ZERO);
    for (saved, then) in [(5, 5), (3, 5), (5, 5), (9, 9)] {
        journal.save_checkpoint("relay", Position::new(saved)).await.unwrap();
        assert_eq!(journal.checkpoint("relay").await.unwrap(), Position::new(then));
    }
    assert_eq!(journal.checkpoint("other").await.unwrap(), Position::ZERO);
}

/// The rows of an entry are written if and only if its events are.
pub async fn rows_are_written_if_and_only_if_the_events_are(
    journal: &dyn Journal<Row>,
    accounts: &dyn AccountRepository,
) {
    let (account, opening) = opening(1, holder(1), "10");
    assert_eq!(append(journal, &[opening]).await, [committed(1)]);
    let deposit = account.deposit(&daybook_money::Amount::Text("5".to_owned()), None).unwrap();
    let after = daybook_events::Aggregate::evolve(Some(account.clone()), &deposit).unwrap();
    let mut late = account_entry(&after, &deposit);
    late.expected = vec![(account.id.stream(), Version::new(9))];
    assert_eq!(append(journal, &[late]).await, [EntryOutcome::Conflict]);
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), std::slice::from_ref(&account));
    assert_eq!(append(journal, &[account_entry(&after, &deposit)]).await, [committed(2)]);
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), [after]);
}

/// An email address is registered once, in whatever case; the second is a conflict alone.
pub async fn an_email_is_registered_once(
    journal: &dyn Journal<Row>,
    holders: &dyn HolderRepository,
) {
    let (ada, first) = registration(1, "Ada@example.com");
    let (_, same_batch) = registration(2, "ada@example.com");
    let (_, other) = registration(3, "bob@example.com");
    let outcomes = append(journal, &[first, same_batch, other]).await;
    assert_eq!(outcomes, [committed(1), EntryOutcome::Conflict, committed(2)]);
    let (_, later) = registration(4, "ADA@example.com");
    assert_eq!(append(journal, &[later]).await, [EntryOutcome::Conflict]);
    let found = holders.find_by_email(&"aDa@example.com".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!((found.id, found.email.as_str()), (ada.id, "Ada@example.com"));
    let keys = ["bob@example.com", "eve@example.com", "ada@example.com"].map(Into::into);
    let mut registered = holders.registered(&keys).await.unwrap();
    registered.sort_unstable();
    assert_eq!(registered, ["ada@example.com".into(), "bob@example.com".into()]);
    assert!(holders.registered(&[]).await.unwrap().is_empty());
    assert!(holders.find(holder(4)).await.unwrap().is_none());
}

/// Many appenders at once leave no gap, and a reader who follows by position misses nothing and
/// sees nothing late.
pub async fn concurrent_appenders_leave_no_gap(journal: Arc<dyn Journal<Row>>) {
    const WRITERS: u64 = 16;
    const BATCHES: u64 = 20;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let journal = Arc::clone(&journal);
            tokio::spawn(async move {
                for batch in 0..BATCHES {
                    let entries = [
                        event_on(&format!("w{writer}"), batch * 2),
                        event_on(&format!("w{writer}"), batch * 2 + 1),
                    ];
                    let outcomes = append(&*journal, &entries).await;
                    assert!(
                        outcomes.iter().all(|o| matches!(o, EntryOutcome::Committed { .. })),
                        "{outcomes:?}"
                    );
                }
            })
        })
        .collect();
    let expected = WRITERS * BATCHES * 2;
    let reading = async {
        let mut seen = 0;
        while seen < expected {
            for position in positions(&*journal, EventFilter::All, seen, 50).await {
                assert_eq!(
                    position,
                    seen + 1,
                    "a reader by position has to see every event once, in order"
                );
                seen = position;
            }
            tokio::task::yield_now().await;
        }
    };
    super::soon("every event is read", reading).await;
    for writer in writers {
        writer.await.unwrap();
    }
}

/// Of many appenders that decided on the same version of a stream, one is committed each time: the
/// others are conflicts, alone, and what stood beside them in their batches is written.
pub async fn of_appenders_that_want_the_same_one_wins(journal: Arc<dyn Journal<Row>>) {
    const APPENDERS: u64 = 8;
    for version in 0..10 {
        let appending: Vec<_> = (0..APPENDERS)
            .map(|appender| {
                let journal = Arc::clone(&journal);
                tokio::spawn(async move {
                    let own = event_on(&format!("own{appender}"), version);
                    append(&*journal, &[event_on("wanted", version), own]).await
                })
            })
            .collect();
        let mut won = 0;
        for outcomes in appending {
            let outcomes = outcomes.await.unwrap();
            assert!(matches!(outcomes[1], EntryOutcome::Committed { .. }), "{outcomes:?}");
            match outcomes[0] {
                EntryOutcome::Committed { .. } => won += 1,
                EntryOutcome::Conflict => {}
                EntryOutcome::Replayed(_) | EntryOutcome::Refused(_) => panic!("{outcomes:?}"),
            }
        }
        assert_eq!(won, 1);
    }
    let expected: Vec<_> = (1..=10 * (APPENDERS + 1)).collect();
    assert_eq!(positions(&*journal, EventFilter::All, 0, 1_000).await, expected);
}

/// A batch may write rows of every kind at once, and each can be read as soon as it is committed.
pub async fn every_kind_of_row_is_written(
    journal: &dyn Journal<Row>,
    accounts: &dyn AccountRepository,
    holders: &dyn HolderRepository,
    tasks: &dyn TaskRepository,
) {
    append(journal, &[event_on("before", 0)]).await;
    let (account, opening) = opening(1, holder(1), "10");
    let (ada, registration) = registration(7, "ada@example.com");
    let id = TaskId::from_uuid(Uuid::from_u128(3));
    let task = NewTask {
        id,
        owner: Some(holder(1)),
        kind: TaskKind::text(),
        payload: serde_json::value::to_raw_value("hello").unwrap(),
        run_at: Timestamp::from_micros(5),
        created_at: Timestamp::from_micros(4),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: Origin::Recorded,
    };
    let mut asked = event_on("task", 0);
    asked.rows.push(Row::Task(Box::new(task)));
    let refused = keyed(empty(), Some(holder(1)), "refused", "no");
    let batch = [keyed(opening, Some(holder(1)), "opened", "yes"), registration, asked, refused];
    let outcomes = append(journal, &batch).await;
    assert_eq!(outcomes, [committed(2), committed(3), committed(4), committed(4)]);
    assert_eq!(accounts.find(&[account.id]).await.unwrap(), std::slice::from_ref(&account));
    let page = daybook_accounts::StatementPage { account: account.id, before: None, limit: 9 };
    let statement = accounts.statement(&page).await.unwrap();
    assert_eq!(statement.iter().map(|line| line.position.get()).collect::<Vec<_>>(), [2]);
    assert_eq!(holders.find(ada.id).await.unwrap().map(|found| found.id), Some(ada.id));
    let found = tasks.find(id).await.unwrap().unwrap();
    assert_eq!((found.version, found.payload.get()), (Version::new(1), "\"hello\""));
    for (key, outcome, position) in [("opened", "yes", 2), ("refused", "no", 4)] {
        let stored = journal.find_outcome(Some(holder(1)), key).await.unwrap().unwrap();
        assert_eq!((&*stored.outcome, stored.position.get()), (outcome, position));
    }

    let mut retried = event_on("task", 1);
    let (version, at) = (Version::new(2), Timestamp::from_micros(9));
    retried.rows.push(Row::TaskRetried { id, version, at, number: None });
    assert_eq!(
        append(journal, &[retried, event_on("after", 0)]).await,
        [committed(5), committed(6)]
    );
    let found = tasks.find(id).await.unwrap().unwrap();
    assert_eq!((found.version, found.run_at), (version, at));
}
