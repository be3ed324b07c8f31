//! Promises of what ends sessions.

use daybook_accounts::{
    Holder, HolderEvent, HolderRepository, HolderStanding, PasswordChanged, PasswordHash, Session,
    SessionEnded, SessionId,
};
use daybook_events::{
    Entry, EntryOutcome, EventId, EventPayload, Journal, NewEvent, Timestamp, Version,
};
use uuid::Uuid;

use super::journal::append;
use super::sample::{empty, holder, registration};
use crate::Row;

fn session(id: u128, of: &Holder, credentials: u64) -> Session {
    Session {
        id: SessionId::from_uuid(Uuid::from_u128(id)),
        holder_id: of.id,
        credentials: Version::new(credentials),
        until: Timestamp::from_micros(1_000),
    }
}

/// The entry of an event of a holder who stands like that after it.
fn entry(of: &Holder, event: &HolderEvent, after: HolderStanding, row: Row) -> Entry<Row> {
    let stream = Holder::stream(of.id);
    let before = Version::new(after.version.get() - 1);
    Entry {
        expected: vec![(stream.clone(), before)],
        events: vec![NewEvent {
            id: EventId::from_uuid(Uuid::now_v7()),
            stream,
            version: after.version,
            event_type: event.event_type(),
            data: event.data(),
            owner: Some(of.id),
            order_id: None,
        }],
        rows: vec![row],
        ..empty()
    }
}

/// Someone who registered, and how they stand.
async fn registered(journal: &dyn Journal<Row>, n: u128) -> Holder {
    let (holder, mut entry) = registration(n, &format!("holder{n}@example.com"));
    let event = Holder::register(holder.id);
    entry.expected = vec![(Holder::stream(holder.id), Version::ZERO)];
    entry.events = vec![NewEvent {
        id: EventId::from_uuid(Uuid::now_v7()),
        stream: Holder::stream(holder.id),
        version: Version::new(1),
        event_type: event.event_type(),
        data: event.data(),
        owner: Some(holder.id),
        order_id: None,
    }];
    assert!(matches!(append(journal, &[entry]).await[..], [EntryOutcome::Committed { .. }]));
    holder
}

/// A session goes on while its holder is there and has the password that it is of.
pub async fn a_session_is_of_a_holder_and_their_password(
    journal: &dyn Journal<Row>,
    holders: &dyn HolderRepository,
) {
    let ada = registered(journal, 1).await;
    let (here, elsewhere) = (session(1, &ada, 1), session(2, &ada, 1));
    assert!(holders.is_live(&here).await.unwrap());
    assert!(!holders.is_live(&session(1, &ada, 2)).await.unwrap());
    assert!(!holders.is_live(&Session { holder_id: holder(9), ..here }).await.unwrap());

    let changed = PasswordChanged { holder_id: ada.id, kept_session: here.id };
    let event = HolderEvent::PasswordChanged(changed);
    let standing = ada.standing.after(&event);
    let hash = PasswordHash::from_phc("$argon2id$another");
    let row = Row::PasswordChanged { id: ada.id, hash: hash.clone(), standing };
    let changing = entry(&ada, &event, standing, row);
    assert!(matches!(
        append(journal, std::slice::from_ref(&changing)).await[..],
        [EntryOutcome::Committed { .. }]
    ));
    let found = holders.find(ada.id).await.unwrap().unwrap();
    assert!(found.password_hash == hash && found.standing == standing);
    assert_eq!(holders.standings(&[ada.id, holder(9)]).await.unwrap(), [(ada.id, standing)]);
    assert!(holders.is_live(&here).await.unwrap());
    assert!(!holders.is_live(&elsewhere).await.unwrap());
    assert!(holders.is_live(&session(3, &ada, 2)).await.unwrap());
    // Who decided on the password before is told.
    assert_eq!(append(journal, &[changing]).await, [EntryOutcome::Conflict]);
}

/// A session that was ended is over, and no other; it is forgotten when it would have expired.
pub async fn a_session_that_was_ended_is_over(
    journal: &dyn Journal<Row>,
    holders: &dyn HolderRepository,
) {
    let ada = registered(journal, 1).await;
    let (here, elsewhere) = (session(1, &ada, 1), session(2, &ada, 1));
    let ended = SessionEnded { holder_id: ada.id, session_id: here.id };
    let event = HolderEvent::SessionEnded(ended);
    let mut standing = ada.standing;
    // Twice, as two who log out at once may.
    for _ in 0..2 {
        standing = standing.after(&event);
        let row = Row::SessionEnded { session: here, standing };
        let ending = entry(&ada, &event, standing, row);
        assert!(matches!(append(journal, &[ending]).await[..], [EntryOutcome::Committed { .. }]));
    }
    assert!(!holders.is_live(&here).await.unwrap());
    assert!(holders.is_live(&elsewhere).await.unwrap());
    assert_eq!(holders.standings(&[ada.id]).await.unwrap(), [(ada.id, standing)]);

    let forget = |before| holders.forget_ended_sessions(Timestamp::from_micros(before), 9);
    assert_eq!(forget(1_000).await.unwrap(), 0);
    assert!(!holders.is_live(&here).await.unwrap());
    assert_eq!(forget(1_001).await.unwrap(), 1);
    assert_eq!(forget(1_001).await.unwrap(), 0);
}
