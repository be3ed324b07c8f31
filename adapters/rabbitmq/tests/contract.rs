//! On a broker the queue keeps what the port promises, with classic queues and with quorum queues.
#![expect(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod support;

use std::sync::Arc;

use daybook_application::contract::task_queue;
use daybook_rabbitmq::{RabbitQueue, RabbitSettings};
use support::{Raw, Record, own_name};

/// A queue and a record of its own for each test.
struct Own {
    queue: Arc<RabbitQueue>,
    record: Record,
    settings: RabbitSettings,
}

impl Own {
    async fn new(quorum: bool) -> Self {
        let url = tokio::task::spawn_blocking(daybook_services::test_amqp_url).await.unwrap();
        let settings =
            RabbitSettings { queue: own_name(), quorum, ..RabbitSettings::new(url.unwrap()) };
        let record = Record::new().await;
        let queue = Arc::new(record.on(&settings));
        queue.connect_patiently().await.unwrap();
        Self { queue, record, settings }
    }

    async fn remove(self) {
        self.queue.close().await;
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
                tasks_are_leased_once_and_in_time(queue, time);
                a_task_comes_as_it_was_given(queue);
                no_more_are_leased_than_asked_for(queue);
                enqueueing_again_changes_nothing(queue);
                a_lease_that_was_not_extended_is_void(queue, database, time);
                an_extended_lease_is_kept(queue, time);
                failed_tasks_come_back_and_dead_ones_do_not(queue, database, time);
                a_released_task_is_there_at_once(queue);
                tasks_are_listed_and_done_ones_forgotten(queue, database, time);
                the_backlog_is_what_can_be_leased(queue, time);
                workers_at_once_share_the_tasks(shared);
            }
        }
    };
    (@ $quorum:literal $($promise:ident($($part:ident),+);)+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            let own = Own::new($quorum).await;
            task_queue::$promise($(promises!(@ own $part)),+).await;
            own.remove().await;
        })+
    };
    (@ $own:ident queue) => { &*$own.queue };
    (@ $own:ident shared) => { $own.queue.clone() };
    (@ $own:ident database) => { &$own.record.database };
    (@ $own:ident time) => { &*$own.record.time };
}

promises!(classic, false);
promises!(quorum, true);
