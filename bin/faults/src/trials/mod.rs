//! The trials.

mod backlog;
mod clock;
mod connection_cut;
mod demoted_primary;
mod disk_full;
mod hot_key;
mod instances;
mod lost_messages;
mod neighbours;
mod one_order;
mod overload;
mod planted;
mod readers;
mod rebuild;
mod redis;
mod relay;
mod rolling_restart;
mod server_killed;
mod service_killed;
mod stopped_reader;
mod subscribers;
mod tasks;

use crate::run::Trial;

const TRIALS: [Trial; 24] = [
    service_killed::TRIAL,
    server_killed::POSTGRES,
    server_killed::REDIS,
    server_killed::RABBITMQ,
    redis::TRIAL,
    neighbours::TRIAL,
    hot_key::TRIAL,
    connection_cut::TRIAL,
    connection_cut::CLIENTS,
    demoted_primary::TRIAL,
    tasks::TRIAL,
    lost_messages::TRIAL,
    disk_full::TRIAL,
    readers::TRIAL,
    one_order::TRIAL,
    instances::TRIAL,
    rebuild::TRIAL,
    rolling_restart::TRIAL,
    subscribers::TRIAL,
    stopped_reader::TRIAL,
    relay::TRIAL,
    backlog::TRIAL,
    overload::TRIAL,
    clock::TRIAL,
];

/// All trials, in the order in which they are run.
pub fn all() -> impl Iterator<Item = &'static Trial> {
    TRIALS.iter().chain(&planted::TRIALS)
}

/// The trial with this name.
pub fn named(name: &str) -> Option<&'static Trial> {
    all().find(|trial| trial.name.eq_ignore_ascii_case(name))
}
