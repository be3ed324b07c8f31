//! On a broker the queue keeps what the port promises, with classic queues and with quorum queues.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use daybook_application::contract::{task_kills, task_order, task_outcomes, task_queue};
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use support::{Raw, Record, own_name};

/// A queue and a record of its own for each test.
struct Own {
    queue: Arc<RabbitQueue>,
    /// The same queue, as another process has it.
    other: Arc<RabbitQueue>,
    record: Record,
    settings: RabbitSettings,
}

impl Own {
    async fn new(quorum: bool) -> Self {
        let url = tokio::task::spawn_blocking(daybook_services::test_amqp_url).await.unwrap();
        let settings = RabbitSettings {
            queue: own_name(),
            quorum,
            // The promises speak of tasks that are somebody's.
            believe_owners: true,
            ..RabbitSettings::new(url.unwrap())
        };
        let record = Record::new().await;
        let queue = Arc::new(record.on(&settings));
        queue.connect_patiently().await.unwrap();
        let other = Arc::new(record.on(&settings));
        Self { queue, other, record, settings }
    }

    async fn remove(self) {
        self.queue.close().await;
        self.other.close().await;
        Raw::connect(&self.settings.url).await.remove(&self.settings.queue).await;
        self.record.database.close().await;
    }
}

/// One test a promise and kind of queue: `promise(what the promise is about)`.
macro_rules! promises {
    ($kind:ident, $quorum:literal) => {
        mod $kind {
            use super::*;

            promises! { @ $quorum
                task_queue::tasks_are_leased_once_and_in_time(queue, time);
                task_queue::a_task_for_no_particular_time_is_due_whatever_the_clock_says(queue, time);
                task_queue::a_task_comes_as_it_was_given(queue);
                task_queue::no_more_are_leased_than_asked_for(queue);
                task_queue::enqueueing_again_changes_nothing(queue);
                task_queue::a_lease_that_was_not_extended_is_void(queue, database, time);
                task_queue::an_extended_lease_is_kept(queue, time);
                task_queue::failed_tasks_come_back_and_dead_ones_do_not(queue, database, time);
                task_queue::a_released_task_is_there_at_once(queue);
                task_queue::tasks_are_listed_and_done_ones_forgotten(queue, database, time);
                task_queue::the_backlog_is_what_can_be_leased(queue, time);
                task_queue::workers_at_once_share_the_tasks(shared);
                task_order::urgent_tasks_go_first_and_no_priority_waits_for_ever(queue);
                task_order::no_more_of_a_kind_are_leased_than_there_is_room_for(queue);
                task_order::a_kind_without_room_holds_up_nothing_else(queue);
                task_outcomes::the_last_failed_attempts_are_kept(queue, database, time);
                task_outcomes::an_attempt_that_nobody_ended_is_kept(queue, database, time);
                task_outcomes::what_a_worker_withdraws_from_is_there_for_others(queue, other);
                task_outcomes::what_a_worker_gives_back_is_there_for_others(queue, other, database);
                task_kills::killed_with_a_task_in_hand_another_does_it_once(queue, other, database, time);
                task_kills::killed_before_the_outcome_is_recorded_it_is_recorded_by_another(
                    queue, other, database, time
                );
                task_kills::killed_after_the_outcome_is_recorded_nobody_does_it_again(
                    queue, other, database, time
                );
            }
        }
    };
    (@ $quorum:literal $($suite:ident::$promise:ident($($part:ident),+);)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let own = Own::new($quorum).await;
            $suite::$promise($(promises!(@ own $part)),+).await;
            own.remove().await;
        })+
    };
    (@ $own:ident queue) => { &*$own.queue };
    (@ $own:ident other) => { &*$own.other };
    (@ $own:ident shared) => { $own.queue.clone() };
    (@ $own:ident database) => { &$own.record.database };
    (@ $own:ident time) => { &*$own.record.time };
}

promises!(classic, false);
promises!(quorum, true);
