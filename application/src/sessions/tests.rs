use daybook_accounts::{MockHolderRepository, PasswordChanged, RepositoryError, SessionEnded};
use daybook_events::{EventId, Metadata, Position, Timestamp, Version};
use futures_util::FutureExt;
use uuid::Uuid;

use super::*;
use crate::fakes::holder;

const LIMITS: StreamLimits = StreamLimits { of_one: 2, of_all: 3 };

fn session(id: u128, of: u128) -> Session {
    Session {
        id: SessionId::from_uuid(Uuid::from_u128(id)),
        holder_id: holder(of),
        credentials: Version::new(1),
        until: Timestamp::from_micros(9),
    }
}

/// Sessions that are looked up so many times, and go on.
fn looked_up(times: usize) -> Sessions {
    let mut holders = MockHolderRepository::new();
    holders.expect_is_live().times(times).returning(|_| Ok(true));
    Sessions::new(Arc::new(holders), LIMITS)
}

fn ended(session: Session) -> HolderEvent {
    let Session { id: session_id, holder_id, .. } = session;
    HolderEvent::SessionEnded(SessionEnded { holder_id, session_id })
}

fn changed(session: Session) -> HolderEvent {
    let Session { id: kept_session, holder_id, .. } = session;
    HolderEvent::PasswordChanged(PasswordChanged { holder_id, kept_session })
}

/// The event as the log has it.
fn recorded(event: &HolderEvent, of: u128) -> Arc<RecordedEvent> {
    Arc::new(RecordedEvent {
        position: Position::new(7),
        id: EventId::from_uuid(Uuid::from_u128(7)),
        stream: daybook_accounts::Holder::stream(holder(of)),
        version: Version::new(2),
        event_type: event.event_type().into(),
        timestamp: Timestamp::from_micros(1),
        data: event.data(),
        owner: Some(holder(of)),
        order_id: None,
        metadata: Metadata::default(),
    })
}

#[tokio::test]
async fn a_session_is_looked_up_once_until_the_log_says_that_it_is_over() {
    let sessions = looked_up(3);
    let (here, elsewhere) = (session(1, 1), session(2, 1));
    for _ in 0..3 {
        assert!(sessions.is_live(&here).await.unwrap());
        assert!(sessions.is_live(&elsewhere).await.unwrap());
    }
    // What ended is looked up again; what goes on is still known.
    sessions.hear(&[recorded(&ended(here), 1)]);
    assert!(sessions.is_live(&here).await.unwrap());
    assert!(sessions.is_live(&elsewhere).await.unwrap());
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_of_its_holder_alone() {
    let sessions = looked_up(4);
    let all @ [here, other, _] = [session(1, 1), session(2, 1), session(3, 2)];
    for one in &all {
        assert!(sessions.is_live(one).await.unwrap());
    }
    sessions.hear(&[recorded(&changed(here), 1)]);
    for one in &all {
        assert!(sessions.is_live(one).await.unwrap());
    }
    assert!(sessions.is_live(&other).await.unwrap());
}

#[tokio::test]
async fn what_was_looked_up_before_something_ended_is_not_believed() {
    let (told, asked) = (Arc::new(Mutex::new(None::<Sessions>)), session(1, 1));
    let mut holders = MockHolderRepository::new();
    let during = Arc::clone(&told);
    holders.expect_is_live().times(2).returning(move |_| {
        // It ends while the database is asked, which was still to say that it goes on.
        let sessions = during.lock().unwrap().take();
        if let Some(sessions) = sessions {
            sessions.end(&ended(asked));
        }
        Ok(true)
    });
    let sessions = Sessions::new(Arc::new(holders), LIMITS);
    *told.lock().unwrap() = Some(sessions.clone());
    sessions.is_live(&asked).await.unwrap();
    sessions.is_live(&asked).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_looked_up_is_not_known() {
    let mut holders = MockHolderRepository::new();
    holders
        .expect_is_live()
        .returning(|_| Err(RepositoryError::Unavailable("unplugged".to_owned())));
    let sessions = Sessions::new(Arc::new(holders), LIMITS);
    assert!(matches!(sessions.is_live(&session(1, 1)).await, Err(QueryError::Unavailable(_))));
}

#[tokio::test]
async fn another_token_of_the_same_session_is_no_session_that_is_known() {
    let sessions = looked_up(2);
    assert!(sessions.is_live(&session(1, 1)).await.unwrap());
    let other = Session { credentials: Version::new(2), ..session(1, 1) };
    assert!(sessions.is_live(&other).await.unwrap());
}

#[tokio::test]
async fn streams_end_with_their_session() {
    let sessions = looked_up(0);
    let (here, elsewhere) = (session(1, 1), session(2, 1));
    let (first, second) =
        (sessions.open_stream(&here).unwrap(), sessions.open_stream(&elsewhere).unwrap());
    sessions.hear(&[recorded(&ended(here), 1)]);
    assert!(first.over().now_or_never().is_some());
    assert!(second.over().now_or_never().is_none());
    sessions.hear(&[recorded(&changed(here), 1)]);
    assert!(second.over().now_or_never().is_some());
}

#[tokio::test]
async fn streams_are_bounded_for_one_and_for_all_until_they_are_closed() {
    let sessions = looked_up(0);
    let (ada, bob) = (session(1, 1), session(2, 2));
    let first = sessions.open_stream(&ada).unwrap();
    let _second = sessions.open_stream(&ada).unwrap();
    assert_eq!(sessions.open_stream(&ada).err(), Some(TooManyStreams::OfOne));
    let third = sessions.open_stream(&bob).unwrap();
    assert_eq!(sessions.open_stream(&bob).err(), Some(TooManyStreams::OfAll));
    assert_eq!(sessions.streams(), (3, 3));
    drop(first);
    assert!(sessions.open_stream(&ada).is_ok());
    drop(third);
    assert!(sessions.open_stream(&bob).is_ok());
    assert_eq!(sessions.streams().0, 1);
}

#[tokio::test]
async fn it_begins_as_late_as_the_last_event() {
    let store = crate::fakes::FakeStore::new();
    let sessions = looked_up(0);
    sessions.begin(&store).await.unwrap();
    let at = Timestamp::from_micros;
    assert_eq!(sessions.latest(at(3)), at(3));
    let mut journal = daybook_events::MockJournal::<Row>::new();
    journal.expect_head().returning(|| Ok(Position::new(7)));
    journal.expect_read().returning(move |_, after, _| {
        assert_eq!(after, Position::new(6));
        Ok(vec![RecordedEvent { timestamp: at(9), ..crate::fakes::event(7, None) }])
    });
    sessions.begin(&journal).await.unwrap();
    assert_eq!(sessions.latest(at(3)), at(9));
}

#[tokio::test]
async fn the_latest_time_does_not_go_back() {
    let sessions = looked_up(0);
    let at = Timestamp::from_micros;
    assert_eq!(sessions.latest(at(-5)), at(-5));
    assert_eq!(sessions.latest(at(-9)), at(-5));
    // By the log it is later.
    sessions.hear(&[recorded(&ended(session(1, 1)), 1)]);
    assert_eq!(sessions.latest(at(-9)), at(1));
}
