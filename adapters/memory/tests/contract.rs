//! The adapters of this crate keep the promises of their ports.

macro_rules! cache_contract {
    ($($promise:ident)+) => {
        mod cache {
            use daybook_application::contract::cache;
            use daybook_memory::MemoryCache;

            $(#[tokio::test]
            async fn $promise() {
                cache::$promise(&MemoryCache::new(64 * 1024 * 1024), "contract").await;
            })+
        }
    };
}

cache_contract! {
    of_those_who_miss_one_gets_a_ticket
    every_ticket_is_another
    a_value_is_found_as_it_was_filled_in
    that_there_is_nothing_is_found_too
    keys_do_not_touch_each_other
    a_ticket_is_used_up
    a_write_voids_the_ticket
    a_write_alone_leaves_no_value
    a_higher_version_replaces_a_lower
    a_lower_version_never_replaces_a_higher
    what_is_no_more_is_not_brought_back
    the_same_version_changes_nothing
    what_is_outdated_is_dropped
    a_value_is_gone_after_its_time_to_live
    a_value_past_its_time_keeps_nothing_out
    of_writers_at_once_the_highest_version_remains
}
