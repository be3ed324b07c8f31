//! Every promise of the ports, one test each, on whichever engine `Own::new` gives.

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
    (@ $own:ident shared) => { std::sync::Arc::new($own.database.clone()) };
    (@ $own:ident queue) => { &$own.queue };
    (@ $own:ident other) => {
        &daybook_database::DatabaseQueue::new($own.database.clone(), $own.clock.clone())
    };
    (@ $own:ident shared_queue) => { std::sync::Arc::new($own.queue.clone()) };
    (@ $own:ident time) => { &*$own.clock };
}

/// Runs every suite on `Own`, which has a `database`, a `queue` and a `clock`.
macro_rules! every_promise {
    () => {
        use daybook_application::contract::{
            books, election, installation, journal, journal_tasks, repositories, schedule_records, sessions, shadows,
            task_kills, task_order, task_outcomes,
            task_queue, task_records,
        };

        promises! {
            journal::events_get_gapless_positions_in_the_order_of_the_batch(database);
            journal::events_are_read_by_position_holder_and_stream(database);
            journal::pages_are_bounded_in_bytes(database);
            journal::a_moved_stream_is_a_conflict_alone(database);
            journal::earlier_entries_of_the_batch_count(database);
            journal::a_stream_that_was_only_read_is_checked(database);
            journal::what_was_decided_on_an_entry_left_out_is_a_conflict(database);
            journal::a_remembered_key_twice_in_a_batch_writes_nothing(database);
            journal::an_entry_without_events_is_remembered(database);
            journal::a_remembered_key_is_replayed_alone(database);
            journal::a_key_twice_in_a_batch_is_a_conflict(database);
            journal::outcomes_are_forgotten_by_age(database);
            journal::what_cant_be_written_is_refused_alone(database);
            journal::entries_are_found(database);
            journal::a_checkpoint_never_goes_back(database);
            journal::rows_are_written_if_and_only_if_the_events_are(database, database);
            journal::an_email_is_registered_once(database, database);
            journal::concurrent_appenders_leave_no_gap(shared);
            journal::of_appenders_that_want_the_same_one_wins(shared);
            journal::every_kind_of_row_is_written(database, database, database, database);
            journal_tasks::a_unique_task_is_numbered_once(database, database);
            journal_tasks::of_appenders_that_take_the_same_number_one_wins(shared);
            journal_tasks::a_task_is_discarded_unless_a_worker_has_it(database, queue, database);
            sessions::a_session_is_of_a_holder_and_their_password(database, database);
            sessions::a_session_that_was_ended_is_over(database, database);
            repositories::accounts_are_listed_oldest_first(database, database);
            repositories::a_statement_has_every_posting(database, database);
            repositories::a_transfer_is_found_and_stands_in_both_statements(database, database);
            repositories::orders_come_back_and_are_listed_newest_first(database, database);
            repositories::pages_of_orders_are_bounded_in_bytes(database, database);
            repositories::orders_stand_as_a_batch_leaves_them(database, database);
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
            task_queue::pages_of_tasks_are_bounded_in_bytes(queue, database);
            task_queue::the_backlog_is_what_can_be_leased(queue, time);
            task_queue::what_is_overdue_is_found(queue, database, time);
            task_queue::what_was_put_back_is_left_alone_for_a_while(queue, database);
            task_queue::workers_at_once_share_the_tasks(shared_queue);
            task_order::urgent_tasks_go_first_and_no_priority_waits_for_ever(queue);
            task_order::holders_have_their_turns(queue);
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
            task_records::a_claimed_task_is_leased_and_recorded(queue, database);
            task_records::a_task_that_another_holds_is_not_leased(queue, time);
            task_records::what_is_not_due_or_finished_is_not_leased(queue, time);
            task_records::a_task_claimed_twice_at_once_is_leased_once(queue);
            task_records::what_was_recorded_and_is_not_known_is_not_done(queue, database);
            task_records::another_task_with_the_same_id_is_told_apart(queue);
            task_records::those_who_claim_and_those_who_complete_do_not_block_each_other(shared_queue);
            schedule_records::a_pattern_is_known_since_it_was_first_told_of(database);
            election::one_leads_at_a_time(shared);
            election::different_leads_are_different(shared);
            installation::everyone_on_a_log_knows_it_as_the_same(database, database);
            installation::an_identity_is_renewed_once(shared);
            books::a_snapshot_is_of_one_moment(database, database);
            books::the_log_is_read_stream_by_stream(database, database);
            books::what_is_as_the_log_says_does_not_differ(database, database);
            shadows::one_rebuild_is_at_work_at_a_time(database);
            shadows::what_a_rebuild_left_is_removed(database, database);
            shadows::nobody_appends_while_they_are_kept_from_it(shared, database);
            shadows::what_is_wrong_is_replaced_and_told(database, database, database);
            shadows::what_may_not_be_replaced_is_not(database, database, database);
        }
    };
}
