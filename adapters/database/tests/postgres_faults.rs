//! What becomes of the log when the way to Postgres, or Postgres itself, is lost: every append ends
//! in time, with an answer that is true, and all goes on by itself.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::collections::HashSet;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use daybook_application::contract::sample::event_on;
use daybook_application::contract::task_queue::ManualClock;
use daybook_database::{
    Database, DatabaseQueue, DatabaseSettings, Heard, Migrate, PostgresSettings,
};
use daybook_events::{
    Election, EntryOutcome, EventFilter, Journal, JournalError, NewTask, Position, Priority,
    TaskId, TaskKind, TaskQueue, Timestamp,
};
use daybook_services::{Postgres, Proxy};
use uuid::Uuid;

const STATEMENT_TIMEOUT: Duration = Duration::from_secs(2);
/// Nothing may take longer: the statement's time, the allowance for a server that is silent, and
/// some for this machine.
const BOUND: Duration = Duration::from_secs(10);

async fn open(url: String) -> Database {
    open_with(url, STATEMENT_TIMEOUT).await
}

async fn open_with(url: String, statement_timeout: Duration) -> Database {
    let settings = PostgresSettings { url, connections: 4, statement_timeout };
    Database::open(&DatabaseSettings::Postgres(settings), Migrate::Up).await.unwrap()
}

async fn within<T>(bound: Duration, what: &str, happens: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(bound, happens).await;
    ended.unwrap_or_else(|_| panic!("{what}: not within {bound:?}"))
}

/// Appends an event to a new stream, again and again until it is there.
async fn append_at_last(database: &Database, name: &str) {
    let began = Instant::now();
    let entry = event_on(name, 0);
    loop {
        let appended = within(BOUND, name, database.append(std::slice::from_ref(&entry))).await;
        match appended {
            Ok(outcomes) => {
                assert!(matches!(outcomes[0], EntryOutcome::Committed { .. }), "{outcomes:?}");
                return;
            }
            Err(JournalError::Unavailable(_) | JournalError::ReadOnly(_)) => {}
            Err(JournalError::Unknown(_)) => {
                let found =
                    within(BOUND, name, database.find_entries(&[entry.id], Position::ZERO)).await;
                if found.is_ok_and(|found| found[0].is_some()) {
                    return;
                }
            }
            Err(error @ JournalError::Corrupt(_)) => panic!("{error}"),
        }
        assert!(began.elapsed() < Duration::from_mins(1), "{name} is never appended");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What a read answers at last: one by a session that has died meanwhile fails, and the next has another.
async fn at_last<T, F>(what: &str, read: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, JournalError>>,
{
    let again = async {
        loop {
            match read().await {
                Ok(found) => return found,
                Err(JournalError::Unavailable(_)) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{what}: {error}"),
            }
        }
    };
    within(BOUND, what, again).await
}

async fn positions(database: &Database) -> Vec<u64> {
    let read = || database.read(&EventFilter::All, Position::ZERO, 1_000);
    at_last("a read", read).await.iter().map(|event| event.position.get()).collect()
}

/// Another session, which holds the lock of the journal for as long as it is kept.
struct Holder<'a>(&'a Postgres, Child);

impl<'a> Holder<'a> {
    fn of(server: &'a Postgres) -> Self {
        let sql = "SELECT pg_advisory_lock(1684109676, 1), pg_sleep(60)";
        let psql = Command::new("psql")
            .args([&server.url(), "-qXAtc", sql])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(server, psql)
    }
}

impl Drop for Holder<'_> {
    fn drop(&mut self) {
        // A session does not notice while it sleeps that its client has gone.
        ask(
            self.0,
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted",
        );
        let _ = self.1.wait();
    }
}

fn ask(server: &Postgres, sql: &str) -> String {
    let ran = Command::new("psql")
        .args([&server.url(), "-qXAtc", sql])
        .env("PGOPTIONS", "-c default_transaction_read_only=off")
        .output()
        .unwrap();
    String::from_utf8(ran.stdout).unwrap().trim().to_owned()
}

async fn until(server: &Postgres, sql: &str, answer: &str) {
    within(BOUND, sql, async {
        while ask(server, sql) != answer {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

const HELD: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted";
const AWAITED: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_was_cut_off_while_it_waited_is_never_committed_later() {
    let server = Postgres::start().unwrap();
    let proxy = Proxy::to(server.port()).unwrap();
    // So long that no statement ends by itself.
    let database = open_with(proxy.url_of(&server.url()), Duration::from_mins(1)).await;
    append_at_last(&database, "before").await;
    let holder = Holder::of(&server);
    until(&server, HELD, "1").await;
    let entry = event_on("cut-off", 0);
    let (other, cut_off) = (database.clone(), entry.clone());
    let appending = tokio::spawn(async move { other.append(&[cut_off]).await });
    until(&server, AWAITED, "1").await;
    proxy.cut();
    let appended = within(BOUND, "the append ends", appending).await.unwrap();
    assert!(matches!(appended, Err(JournalError::Unknown(_))), "{appended:?}");
    // Its statement goes on waiting. Whoever says now that it was not committed must be right later.
    proxy.restore();
    let found = at_last("it is looked up", || {
        database.find_entries(std::slice::from_ref(&entry.id), Position::ZERO)
    })
    .await;
    assert_eq!(found, [None]);
    drop(holder);
    until(&server, HELD, "0").await;
    append_at_last(&database, "after").await;
    assert_eq!(database.find_entries(&[entry.id], Position::ZERO).await.unwrap(), [None]);
    assert_eq!(positions(&database).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_waits_for_the_lock_no_longer_than_a_statement_may_take() {
    let server = Postgres::start().unwrap();
    let database = open(server.url()).await;
    let holder = Holder::of(&server);
    until(&server, HELD, "1").await;
    let appended = within(BOUND, "it ends", database.append(&[event_on("a", 0)])).await;
    assert!(matches!(appended, Err(JournalError::Unavailable(_))), "{appended:?}");
    drop(holder);
    append_at_last(&database, "b").await;
    assert_eq!(positions(&database).await, [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_hands_nothing_on_blocks_nobody_for_ever() {
    let server = Postgres::start().unwrap();
    let proxy = Proxy::to(server.port()).unwrap();
    let database = open(proxy.url_of(&server.url())).await;
    append_at_last(&database, "before").await;
    assert_eq!(positions(&database).await, [1]);
    proxy.stall();
    let appended = within(BOUND, "the append ends", database.append(&[event_on("a", 0)])).await;
    assert!(matches!(appended, Err(JournalError::Unknown(_))), "{appended:?}");
    assert!(within(BOUND, "the read ends", database.head()).await.is_err());
    // The old connections stay dead; it is new ones that go on.
    proxy.cut();
    proxy.restore();
    append_at_last(&database, "after").await;
    let seen = positions(&database).await;
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_and_started_again_is_used_again_with_everything_in_it() {
    let server = Postgres::start().unwrap();
    let database = open(server.url()).await;
    for round in 0..3 {
        append_at_last(&database, &format!("before-{round}")).await;
        server.kill().unwrap();
        let appended = within(BOUND, "it ends", database.append(&[event_on("down", 0)])).await;
        assert!(appended.is_err(), "{appended:?}");
        server.restart().unwrap();
        append_at_last(&database, &format!("after-{round}")).await;
    }
    assert_eq!(positions(&database).await, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lead_goes_with_its_connection_and_with_who_stands_still() {
    let server = Postgres::start().unwrap();
    let proxy = Proxy::to(server.port()).unwrap();
    let (cut_off, other) = (open(proxy.url_of(&server.url())).await, open(server.url()).await);
    let takes_over = async || {
        within(Duration::from_secs(30), "the other takes over", async {
            loop {
                if let Some(lead) = other.try_lead("relay").await.unwrap() {
                    return lead;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
        .await
    };
    for stand_still in [false, true] {
        let mut lead = cut_off.try_lead("relay").await.unwrap().unwrap();
        assert!(lead.is_held().await);
        assert!(other.try_lead("relay").await.unwrap().is_none());
        // Neither asks any more, but one of them is heard to be gone.
        if stand_still {
            proxy.stall();
        } else {
            proxy.cut();
        }
        let mut taken = takes_over().await;
        assert!(taken.is_held().await);
        assert!(!within(BOUND, "who lost it knows", lead.is_held()).await);
        proxy.cut();
        proxy.restore();
    }
}

/// How soon all works again once new sessions can write.
const RECOVERY: Duration = Duration::from_secs(5);

/// Makes sessions read-only: all of them, or those that are open already.
fn demote(server: &Postgres, new_sessions_too: bool) {
    let new = if new_sessions_too { "RESET" } else { "SET" };
    let value = if new_sessions_too { "" } else { " = off" };
    for sql in [
        format!("ALTER DATABASE postgres {new} default_transaction_read_only{value}"),
        "ALTER SYSTEM SET default_transaction_read_only = on".to_owned(),
        "SELECT pg_reload_conf()".to_owned(),
    ] {
        ask(server, &sql);
    }
}

fn promote(server: &Postgres) {
    for sql in ["ALTER SYSTEM RESET default_transaction_read_only", "SELECT pg_reload_conf()"] {
        ask(server, sql);
    }
}

fn task(number: u128) -> NewTask {
    NewTask {
        id: TaskId::from_uuid(Uuid::from_u128(number)),
        owner: None,
        kind: TaskKind::text(),
        payload: serde_json::value::RawValue::from_string("\"x\"".to_owned()).unwrap(),
        run_at: Timestamp::from_micros(0),
        created_at: Timestamp::from_micros(0),
        priority: Priority::Normal,
        unique: None,
        history: Vec::new(),
        origin: daybook_events::Origin::Recorded,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_take_no_more_writes_are_made_anew() {
    let server = Postgres::start().unwrap();
    let database = open(server.url()).await;
    let clock = Arc::new(ManualClock::default());
    let queue = DatabaseQueue::new(database.clone(), clock);
    let connected = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connected);
    let _watch = database.watch(move |heard| {
        count.fetch_add(usize::from(heard == Heard::Everything), Ordering::SeqCst);
    });
    append_at_last(&database, "before").await;
    queue.enqueue(&[task(1)]).await.unwrap();
    let mut lead = database.try_lead("relay").await.unwrap().unwrap();
    within(BOUND, "it listens", async {
        while connected.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    demote(&server, false);
    within(BOUND, "the lead is lost", async {
        while lead.is_held().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // Nobody has to do anything: new sessions can write, and old ones are given up.
    within(RECOVERY, "appends", append_at_last(&database, "after")).await;
    within(RECOVERY, "tasks are taken", async {
        while queue.enqueue(&[task(2)]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    drop(lead);
    within(RECOVERY, "the lead is taken", async {
        while !matches!(database.try_lead("relay").await, Ok(Some(_))) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    within(BOUND, "it listens anew", async {
        while connected.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    database.check().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_no_writes_is_told_of_without_any_and_used_again_when_it_does() {
    let server = Postgres::start().unwrap();
    let database = open(server.url()).await;
    append_at_last(&database, "before").await;
    database.check().await.unwrap();
    demote(&server, true);
    within(BOUND, "it is noticed", async {
        while database.check().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let read_only = JournalError::ReadOnly("its sessions are read-only".to_owned());
    assert_eq!(database.check().await, Err(read_only.clone()));
    assert_eq!(database.append(&[event_on("meanwhile", 0)]).await, Err(read_only));
    assert!(database.try_lead("relay").await.is_err());
    assert_eq!(positions(&database).await, [1]);
    promote(&server);
    within(RECOVERY, "appends", append_at_last(&database, "after")).await;
    database.check().await.unwrap();
    assert_eq!(positions(&database).await, [1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_lead_tries_by_one_session() {
    const TRYING: &str = "SELECT pid FROM pg_stat_activity WHERE query LIKE \
         '%pg_terminate_backend(activity.pid)%' AND application_name LIKE 'daybook %'";
    let server = Postgres::start().unwrap();
    let (leader, other) = (open(server.url()).await, open(server.url()).await);
    let _leads = [leader.try_lead("a").await.unwrap(), leader.try_lead("b").await.unwrap()];
    let mut sessions = HashSet::new();
    for _ in 0..5 {
        for what in ["a", "b"] {
            assert!(other.try_lead(what).await.unwrap().is_none());
            sessions.insert(ask(&server, TRYING));
        }
    }
    assert_eq!(sessions.len(), 1);
    assert!(sessions.iter().all(|pid| pid.parse::<i32>().is_ok()), "{sessions:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_not_utf_8_is_refused_in_words() {
    let server = Postgres::start().unwrap();
    for encoding in ["LATIN1", "SQL_ASCII", "WIN1252"] {
        let name = format!("in_{}", encoding.to_lowercase());
        let sql =
            format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'");
        ask(&server, &sql);
        let url = format!("{}/{name}", server.url().trim_end_matches("/postgres"));
        let settings = PostgresSettings { url, connections: 4, statement_timeout: BOUND };
        let settings = DatabaseSettings::Postgres(settings);
        let refused = Database::open(&settings, Migrate::Up).await.unwrap_err().to_string();
        assert!(refused.contains(encoding) && refused.contains("UTF8"), "{refused}");
    }
}
