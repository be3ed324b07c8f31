//! Entries to try a journal with.

use daybook_accounts::{
    Account, AccountEvent, AccountId, AccountName, Holder, HolderStanding, OpenAccount,
    PasswordHash,
};
use daybook_events::{
    Aggregate, Entry, EntryId, EventData, EventId, Fingerprint, HolderId, IdempotencyKey,
    IdempotencyRecord, Metadata, NewEvent, StreamId, Timestamp, Version,
};
use daybook_money::Amount;
use uuid::Uuid;

use crate::Row;

/// A holder of the samples.
pub fn holder(n: u128) -> HolderId {
    HolderId::from_uuid(Uuid::from_u128(n))
}

/// A stream of the samples.
pub fn stream(name: &str) -> StreamId {
    StreamId::new("sample", name)
}

/// An entry without anything in it.
pub fn empty() -> Entry<Row> {
    Entry {
        id: EntryId::from_uuid(Uuid::now_v7()),
        expected: Vec::new(),
        events: Vec::new(),
        rows: Vec::new(),
        idempotency: None,
        timestamp: Timestamp::from_micros(1_700_000_000_000_000),
        metadata: Metadata { actor: Some(holder(1)), ..Metadata::default() },
    }
}

/// An entry that appends an event to a stream that has `version` events.
pub fn event_on(name: &str, version: u64) -> Entry<Row> {
    let (stream, version) = (stream(name), Version::new(version));
    let event = NewEvent {
        id: EventId::from_uuid(Uuid::now_v7()),
        stream: stream.clone(),
        version: version.next(),
        event_type: "Sampled",
        data: EventData::from_stored(r#"{"amount":"0.10"}"#.to_owned()).unwrap(),
        owner: Some(holder(1)),
        order_id: None,
    };
    Entry { expected: vec![(stream, version)], events: vec![event], ..empty() }
}

/// The same with an idempotency key.
pub fn keyed(entry: Entry<Row>, scope: Option<HolderId>, key: &str, outcome: &str) -> Entry<Row> {
    let record = IdempotencyRecord {
        scope,
        key: IdempotencyKey::new(key).unwrap(),
        fingerprint: Fingerprint::new([7; 32]),
        outcome: outcome.to_owned(),
    };
    Entry { idempotency: Some(record), ..entry }
}

/// An account that was opened with `balance`, and the entry that opens it.
pub fn opening(account: u128, owner: HolderId, balance: &str) -> (Account, Entry<Row>) {
    let opened = Account::open(OpenAccount {
        account_id: AccountId::from_uuid(Uuid::from_u128(account)),
        holder_id: owner,
        name: AccountName::new("Everyday").unwrap(),
        currency: "EUR".parse().unwrap(),
        initial_balance: Some(Amount::Text(balance.to_owned())),
        opened_at: Timestamp::from_micros(1),
    })
    .unwrap();
    let account = Account::evolve(None, &opened).unwrap();
    let entry = account_entry(&account, &opened);
    (account, entry)
}

/// The entry of an event that left an account as `after`.
pub fn account_entry(after: &Account, event: &AccountEvent) -> Entry<Row> {
    use daybook_events::EventPayload;
    let before = Version::new(after.version.get() - 1);
    let new = NewEvent {
        id: EventId::from_uuid(Uuid::now_v7()),
        stream: after.id.stream(),
        version: after.version,
        event_type: event.event_type(),
        data: event.data(),
        owner: Some(after.holder_id),
        order_id: event.order_id(),
    };
    let postings = event.postings(after.id).unwrap().into_iter().map(|posting| {
        Row::Posting(crate::PostingRow {
            event: 0,
            ledger: posting.ledger,
            amount: posting.amount,
            balance: posting.ledger.system_name().is_none().then_some(after.balance),
            reference: event.reference().map(|text| text.as_str().to_owned()),
            order_id: event.order_id(),
        })
    });
    Entry {
        expected: vec![(after.id.stream(), before)],
        events: vec![new],
        rows: postings.chain([Row::Account(after.clone())]).collect(),
        ..empty()
    }
}

/// Someone with this email address, and the entry that registers them.
pub fn registration(n: u128, email: &str) -> (Holder, Entry<Row>) {
    let holder = Holder {
        id: holder(n),
        email: email.parse().unwrap(),
        full_name: None,
        password_hash: PasswordHash::from_phc("$argon2id$sample"),
        standing: HolderStanding::first(),
        created_at: Timestamp::from_micros(n.try_into().unwrap()),
    };
    let entry = Entry {
        rows: vec![Row::Holder(Box::new(holder.clone()))],
        ..event_on(&format!("holder-{n}"), 0)
    };
    (holder, entry)
}
