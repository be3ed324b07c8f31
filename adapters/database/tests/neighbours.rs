//! What the database has against one row fails what wrote or needs it, and no neighbour.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use daybook_accounts::{AccountId, AccountPage, AccountRepository};
use daybook_application::contract::sample::{event_on, holder, keyed, opening};
use daybook_application::contract::task_queue::{ManualClock, TestTime};
use daybook_application::{
    Appender, AppenderSettings, Change, Command, CommandError, Decision, Key, Outcome, Ports,
    Reads, Receipt, Rejection, Request, States, Tail, TailBounds,
};
use daybook_database::{
    Database, DatabaseQueue, DatabaseSettings, Migrate, PostgresSettings, SqliteSettings,
};
use daybook_events::{
    EntryId, EntryOutcome, EventFilter, HolderId, IdSource, Journal, NewTask, Position, Priority,
    Room, TaskId, TaskKind, TaskPage, TaskQueue, TaskRepository, Timestamp,
};
use daybook_money::Amount;
use sea_orm::ConnectionTrait;
use serde_json::value::RawValue;
use tempfile::TempDir;
use uuid::Uuid;

const GOOD: u64 = 160;

/// A database that a test may reach into.
struct Own {
    database: Database,
    url: String,
    _folder: TempDir,
}

impl Own {
    async fn on_sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daybook.db");
        let url = format!("sqlite://{}", file.display());
        let settings = DatabaseSettings::Sqlite(SqliteSettings { file, readers: 2 });
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        Self { database, url, _folder: folder }
    }

    async fn on_postgres() -> Self {
        let server =
            daybook_services::test_postgres_url().unwrap_or_else(|error| panic!("{error}"));
        let name = format!("neighbours_{}", Uuid::now_v7().simple());
        let url = daybook_services::create_database_on(&server, &name).unwrap();
        let statement_timeout = Duration::from_secs(10);
        let settings = PostgresSettings { url: url.clone(), connections: 4, statement_timeout };
        let settings = DatabaseSettings::Postgres(settings);
        let database = Database::open(&settings, Migrate::Up).await.unwrap();
        Self { database, url, _folder: tempfile::tempdir().unwrap() }
    }

    async fn tell(&self, sql: &str) {
        if self.url.starts_with("postgres") {
            daybook_services::ask_database(&self.url, sql).unwrap();
            return;
        }
        let db = sea_orm::Database::connect(&self.url).await.unwrap();
        db.execute_unprepared(sql).await.unwrap();
        db.close().await.unwrap();
    }

    /// An id as it stands in a statement.
    fn literal(&self, id: Uuid) -> String {
        if self.url.starts_with("postgres") {
            format!("'{id}'")
        } else {
            format!("x'{}'", id.simple())
        }
    }

    async fn positions(&self) -> Vec<u64> {
        let events = self.database.read(&EventFilter::All, Position::ZERO, 10_000).await.unwrap();
        events.iter().map(|event| event.position.get()).collect()
    }

    /// What becomes of commands that are decided together.
    async fn execute(&self, commands: Vec<Deposit>) -> Vec<Result<Outcome, CommandError>> {
        let shared = Arc::new(self.database.clone());
        let ports = Ports {
            journal: shared.clone(),
            accounts: shared.clone(),
            orders: shared.clone(),
            holders: shared.clone(),
            tasks: shared.clone(),
            clock: Arc::new(ManualClock::default()),
            ids: Arc::new(Ids),
        };
        let many = NonZeroUsize::new(1_000).unwrap();
        let settings = AppenderSettings { queue: many, batch: many, states: many, decisions: 8 };
        let reads = Reads::new(shared.clone(), shared, None);
        let (appender, task) = Appender::new(
            ports,
            settings,
            reads,
            Arc::new(Tail::new(TailBounds { events: 64, bytes: 8 << 20 })),
        );
        let submitted: Vec<_> = commands
            .into_iter()
            .map(|command| appender.submit(Box::new(command), Request::default()).unwrap())
            .collect();
        drop(appender);
        let running = tokio::spawn(task.run());
        let mut outcomes = Vec::new();
        for submission in submitted {
            outcomes.push(submission.outcome().await);
        }
        running.await.unwrap();
        outcomes
    }
}

struct Ids;

impl IdSource for Ids {
    fn next(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// Pays one euro in.
struct Deposit(u128);

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(Uuid::from_u128(number))
}

impl Command for Deposit {
    fn actor(&self) -> Option<HolderId> {
        Some(holder(1))
    }

    fn needs(&self) -> Vec<Key> {
        vec![Key::Account(account(self.0))]
    }

    fn decide(&self, states: &States, _: EntryId) -> Result<Decision, Rejection> {
        let one = Amount::Text("1".to_owned());
        let event = states.own_account(account(self.0), holder(1))?.deposit(&one, None)?;
        Ok(Decision {
            changes: vec![Change::Account(account(self.0), event)],
            receipt: Receipt::Done,
        })
    }
}

/// Every way in which a trigger refuses the events of the stream `sample-bad`.
const ON_POSTGRES: [&str; 6] = [
    "RAISE EXCEPTION 'not this one'",
    "RAISE EXCEPTION 'not this one' USING ERRCODE = '23514'",
    "RAISE EXCEPTION 'not this one' USING ERRCODE = '54000'",
    "PERFORM 1 / 0",
    "PERFORM convert_from('\\x00'::bytea, 'UTF8')",
    "RAISE unique_violation",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_postgres_refuses_fails_its_entry_alone() {
    for (number, refusal) in ON_POSTGRES.into_iter().enumerate() {
        for deferred in [false, true] {
            let own = Own::on_postgres().await;
            let trigger = if deferred {
                "CREATE CONSTRAINT TRIGGER guard AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED"
            } else {
                "CREATE TRIGGER guard BEFORE INSERT ON events"
            };
            own.tell(&format!(
                "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                 IF NEW.stream = 'sample-bad' THEN {refusal}; END IF; RETURN NEW; END $$; \
                 {trigger} FOR EACH ROW EXECUTE FUNCTION guard()"
            ))
            .await;
            one_of_many_is_refused(&own, &format!("{number}, deferred: {deferred}")).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_sqlite_refuses_fails_its_entry_alone() {
    for refusal in [
        "RAISE(ABORT, 'not this one')",
        "RAISE(FAIL, 'not this one')",
        "RAISE(ROLLBACK, 'not this one')",
        "json('{')",
    ] {
        let own = Own::on_sqlite().await;
        own.tell(&format!(
            "CREATE TRIGGER guard BEFORE INSERT ON events WHEN NEW.stream = 'sample-bad' \
             BEGIN SELECT {refusal}; END"
        ))
        .await;
        one_of_many_is_refused(&own, refusal).await;
    }
}

/// What is too large for an index of Postgres, without anybody's trigger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_too_large_for_an_index_fails_its_entry_alone() {
    let own = Own::on_postgres().await;
    own.tell("CREATE INDEX large ON events (data)").await;
    let mut batch: Vec<_> = (0..GOOD).map(|number| event_on(&format!("good{number}"), 0)).collect();
    let mut large = event_on("bad", 0);
    // Such as can't be compressed into fitting.
    let text: String = (0..2_000).map(|_| Uuid::now_v7().simple().to_string()).collect();
    large.events[0].data = daybook_events::EventData::of(&text);
    batch.insert(80, large);
    let outcomes = own.database.append(&batch).await.unwrap();
    assert!(matches!(outcomes[80], EntryOutcome::Refused(_)), "{:?}", outcomes[80]);
    assert_eq!(own.positions().await, (1..=GOOD).collect::<Vec<_>>());
}

async fn one_of_many_is_refused(own: &Own, how: &str) {
    let mut batch: Vec<_> = (0..GOOD).map(|number| event_on(&format!("good{number}"), 0)).collect();
    batch.insert(80, keyed(event_on("bad", 0), Some(holder(1)), "bad", "done"));
    let outcomes = own.database.append(&batch).await.unwrap();
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            EntryOutcome::Refused(reason) if number == 80 => {
                assert!(!reason.is_empty(), "{how}");
            }
            EntryOutcome::Committed { .. } if number != 80 => {}
            other => panic!("{how}: {number}: {other:?}"),
        }
    }
    assert_eq!(own.positions().await, (1..=GOOD).collect::<Vec<_>>(), "{how}");
    assert_eq!(own.database.find_outcome(Some(holder(1)), "bad").await.unwrap(), None, "{how}");
    // All of them: bounded work, and whoever comes next is well.
    let all: Vec<_> = (0..20).map(|_| event_on("bad", 0)).collect();
    let outcomes = own.database.append(&all).await.unwrap();
    assert!(matches!(outcomes[0], EntryOutcome::Refused(_)), "{how}: {outcomes:?}");
    assert!(outcomes.iter().all(|o| !matches!(o, EntryOutcome::Committed { .. })), "{how}");
    let next = own.database.append(&[event_on("next", 0)]).await.unwrap();
    assert_eq!(next, [EntryOutcome::Committed { position: Position::new(GOOD + 1) }], "{how}");
}

/// Of many deposits that are decided together those fail that need an account whose row is bad, and no
/// other, also where it is their own writing that is refused.
async fn only_who_needs_it_fails(own: &Own) {
    for number in 1..=161 {
        own.database.append(&[opening(number, holder(1), "10").1]).await.unwrap();
    }
    let id = account(81).uuid();
    let id = own.literal(id);
    for damage in ["currency = 'QQQ'", "version = -1"] {
        own.tell(&format!("UPDATE accounts SET {damage} WHERE id = {id}")).await;
        let outcomes = own.execute((1..=161).map(Deposit).collect()).await;
        for (number, outcome) in (1..).zip(&outcomes) {
            match outcome {
                Err(CommandError::Corrupt(_)) if number == 81 => {}
                Ok(Outcome { result: Ok(_), .. }) if number != 81 => {}
                other => panic!("{damage}: {number}: {other:?}"),
            }
        }
        own.tell(&format!("UPDATE accounts SET currency = 'EUR', version = 1 WHERE id = {id}"))
            .await;
    }
    let outcomes = own.execute((1..=161).map(Deposit).collect()).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().is_ok_and(|o| o.result.is_ok())));
}

/// A list has what can be read, in full pages: one row that can't be hides no other.
async fn a_bad_row_hides_no_other(own: &Own) {
    for number in 1..=9 {
        own.database.append(&[opening(number, holder(1), "10").1]).await.unwrap();
    }
    let listed = async |limit| {
        let (mut pages, mut after) = (Vec::new(), None);
        loop {
            let page = AccountPage { holder: Some(holder(1)), after, limit };
            let found = AccountRepository::list(&own.database, &page).await.unwrap();
            let Some(last) = found.last() else { return pages };
            after = Some(last.position);
            pages.push(found.iter().map(|a| a.thing.id.uuid().as_u128()).collect::<Vec<_>>());
        }
    };
    assert_eq!(listed(4).await, [vec![1, 2, 3, 4], vec![5, 6, 7, 8], vec![9]]);
    own.tell("UPDATE accounts SET currency = 'QQQ' WHERE position IN (2, 3, 4, 5, 9)").await;
    assert_eq!(listed(4).await, [[1, 6, 7, 8]]);
    assert_eq!(listed(2).await, [[1, 6], [7, 8]]);
    assert_eq!(listed(1).await, [[1], [6], [7], [8]]);
    own.tell("UPDATE accounts SET currency = 'QQQ'").await;
    assert!(listed(3).await.is_empty());

    let queue = DatabaseQueue::new(own.database.clone(), Arc::new(ManualClock::default()));
    queue.enqueue(&(1..=5).map(task).collect::<Vec<_>>()).await.unwrap();
    let third = own.literal(Uuid::from_u128(3));
    own.tell(&format!("UPDATE tasks SET kind = '' WHERE id = {third}")).await;
    let page = TaskPage { owner: None, state: None, after: None, limit: 4, bytes: u64::MAX };
    let found = TaskRepository::list(&own.database, &page).await.unwrap();
    let found: Vec<_> = found.iter().map(|task| task.thing.id.uuid().as_u128()).collect();
    assert_eq!(found, [5, 4, 2, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_hides_no_other_on_sqlite() {
    a_bad_row_hides_no_other(&Own::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_hides_no_other_on_postgres() {
    a_bad_row_hides_no_other(&Own::on_postgres().await).await;
}

fn task(number: usize) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(number as u128)),
        owner: Some(holder(1)),
        kind: TaskKind::text(),
        payload: RawValue::from_string("\"x\"".to_owned()).unwrap(),
        run_at: Timestamp::from_micros(0),
        created_at: Timestamp::from_micros(0),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: daybook_events::Origin::Recorded,
    }
}

/// A task whose row can't be read is dead, and stands in no other's way.
async fn a_bad_task_stops_no_other(own: &Own) {
    let clock = Arc::new(ManualClock::default());
    let queue = DatabaseQueue::new(own.database.clone(), clock.clone());
    let damages = ["kind = ''", "payload = '{'", "history = 'x'", "attempts = -1"];
    queue.enqueue(&(1..=8).map(task).collect::<Vec<_>>()).await.unwrap();
    for (number, damage) in (1_u128..).zip(damages) {
        let id = Uuid::from_u128(number);
        let id = own.literal(id);
        own.tell(&format!("UPDATE tasks SET {damage} WHERE id = {id}")).await;
    }
    let leases = queue.lease(&Room::of(8), Duration::from_secs(5)).await.unwrap();
    let numbers: Vec<_> = leases.iter().map(|lease| lease.task_id.uuid().as_u128()).collect();
    assert_eq!(numbers, [5, 6, 7, 8]);
    assert_eq!(queue.backlog().await.unwrap(), 0);
    // Nor does one that is damaged while a worker has it, and never comes back.
    own.tell("UPDATE tasks SET history = 'x' WHERE state = 'running' AND lease_token = 1").await;
    clock.pass(Duration::from_mins(1)).await;
    queue.enqueue(&[task(9)]).await.unwrap();
    let leases = queue.lease(&Room::of(8), Duration::from_secs(5)).await.unwrap();
    assert_eq!(leases.iter().map(|l| l.task_id.uuid().as_u128()).collect::<Vec<_>>(), [9]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_fails_its_own_commands_only_on_sqlite() {
    only_who_needs_it_fails(&Own::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_fails_its_own_commands_only_on_postgres() {
    only_who_needs_it_fails(&Own::on_postgres().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_task_stops_no_other_on_sqlite() {
    a_bad_task_stops_no_other(&Own::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_task_stops_no_other_on_postgres() {
    a_bad_task_stops_no_other(&Own::on_postgres().await).await;
}

/// An outcome that can't be read concerns who repeats its request.
async fn only_who_repeats_it_fails(own: &Own) {
    let first = keyed(event_on("a", 0), Some(holder(1)), "k", "done");
    own.database.append(&[first]).await.unwrap();
    let short = if own.url.starts_with("postgres") { "'\\x07'" } else { "x'07'" };
    own.tell(&format!("UPDATE outcomes SET fingerprint = {short}")).await;
    let batch = [
        keyed(event_on("b", 0), Some(holder(1)), "k", "done"),
        keyed(event_on("c", 0), Some(holder(2)), "k", "done"),
        event_on("d", 0),
    ];
    let outcomes = own.database.append(&batch).await.unwrap();
    assert!(matches!(outcomes[0], EntryOutcome::Refused(_)), "{outcomes:?}");
    let committed = |position| EntryOutcome::Committed { position: Position::new(position) };
    assert_eq!(outcomes[1..], [committed(2), committed(3)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_outcome_fails_who_repeats_it_on_sqlite() {
    only_who_repeats_it_fails(&Own::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_outcome_fails_who_repeats_it_on_postgres() {
    only_who_repeats_it_fails(&Own::on_postgres().await).await;
}

/// A task that is discarded may have a message on a broker until it would have been due: until then its
/// row is what says that it is not to be done.
async fn what_may_have_a_message_is_not_forgotten(own: &Own) {
    let queue = DatabaseQueue::new(own.database.clone(), Arc::new(ManualClock::default()));
    queue.enqueue(&[task(1), task(2)]).await.unwrap();
    own.tell("UPDATE tasks SET state = 'discarded', finished_at = 5").await;
    let later = own.literal(Uuid::from_u128(2));
    own.tell(&format!("UPDATE tasks SET run_at = 1000 WHERE id = {later}")).await;
    let forgotten = |before| own.database.forget_done(Timestamp::from_micros(before), 9);
    assert_eq!(forgotten(10).await.unwrap(), 1);
    let left = TaskRepository::find(&own.database, task(2).id).await.unwrap();
    assert!(left.is_some(), "it is due later");
    assert_eq!(forgotten(1_000).await.unwrap(), 0);
    assert_eq!(forgotten(1_001).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_task_is_known_until_it_would_have_been_due_on_sqlite() {
    what_may_have_a_message_is_not_forgotten(&Own::on_sqlite().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_discarded_task_is_known_until_it_would_have_been_due_on_postgres() {
    what_may_have_a_message_is_not_forgotten(&Own::on_postgres().await).await;
}
