//! The database adapter keeps what the ports promise.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::sync::Arc;

use daybook_application::contract::task_queue::ManualClock;
use daybook_application::contract::{journal, repositories, task_queue};
use daybook_database::{Database, DatabaseQueue, DatabaseSettings};
use tempfile::TempDir;

/// A database of its own for each test.
struct Own {
    database: Database,
    queue: DatabaseQueue,
    clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Own {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = DatabaseSettings { file: folder.path().join("daybook.db"), readers: 2 };
        let database = Database::open(&settings).await.unwrap();
        let clock = Arc::new(ManualClock::default());
        let queue = DatabaseQueue::new(database.clone(), clock.clone());
        Self { database, queue, clock, _folder: folder }
    }
}

/// One test a promise: `suite::promise(what the promise is about)`.
macro_rules! promises {
    ($($suite:ident::$promise:ident($($part:ident),+);)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let own = Own::new().await;
            $suite::$promise($(promises!(@ own $part)),+).await;
            own.database.close().await;
        })+
    };
    (@ $own:ident database) => { &$own.database };
    (@ $own:ident shared) => { Arc::new($own.database.clone()) };
    (@ $own:ident queue) => { &$own.queue };
    (@ $own:ident clock) => { &$own.clock };
}

promises! {
    journal::events_get_gapless_positions_in_the_order_of_the_batch(database);
    journal::events_are_read_by_position_holder_and_stream(database);
    journal::a_moved_stream_is_a_conflict_alone(database);
    journal::earlier_entries_of_the_batch_count(database);
    journal::a_stream_that_was_only_read_is_checked(database);
    journal::what_was_decided_on_an_entry_left_out_is_a_conflict(database);
    journal::a_remembered_key_twice_in_a_batch_writes_nothing(database);
    journal::an_entry_without_events_is_remembered(database);
    journal::a_remembered_key_is_replayed_alone(database);
    journal::a_key_twice_in_a_batch_is_a_conflict(database);
    journal::outcomes_are_forgotten_by_age(database);
    journal::entries_are_found(database);
    journal::a_checkpoint_never_goes_back(database);
    journal::rows_are_written_if_and_only_if_the_events_are(database, database);
    journal::an_email_is_registered_once(database, database);
    journal::concurrent_appenders_leave_no_gap(shared);
    repositories::accounts_are_listed_oldest_first(database, database);
    repositories::a_statement_has_every_posting(database, database);
    repositories::orders_come_back_and_are_listed_newest_first(database, database);
    task_queue::tasks_are_leased_once_and_in_time(queue, clock);
    task_queue::no_more_are_leased_than_asked_for(queue);
    task_queue::enqueueing_again_changes_nothing(queue);
    task_queue::a_lease_that_was_not_extended_is_void(queue, database, clock);
    task_queue::an_extended_lease_is_kept(queue, clock);
    task_queue::failed_tasks_come_back_and_dead_ones_do_not(queue, database, clock);
    task_queue::a_released_task_is_there_at_once(queue);
    task_queue::tasks_are_listed_and_done_ones_forgotten(queue, database, clock);
}
