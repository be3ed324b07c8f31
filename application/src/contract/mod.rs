//! The contract suites of the ports: what each port's documentation promises, one function a
//! promise.
//!
//! A function takes an adapter and panics where the promise is broken. An adapter's tests run each
//! of them against something of its own: a database, a key prefix, a channel. So every adapter of
//! a port, embedded or real, is held to the same.
//!
//! To add a promise, write it down in the port's documentation, add the function of its name here,
//! and list that in the tests of the port's adapters.
#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "every function here panics on a broken promise"
)]

pub mod books;
pub mod bus;
pub mod cache;
pub mod election;
pub mod installation;
pub mod journal;
pub mod journal_tasks;
pub mod repositories;
pub mod sample;
pub mod schedule_records;
pub mod sessions;
pub mod shadows;
pub mod task_kills;
pub mod task_order;
pub mod task_outcomes;
pub mod task_queue;
pub mod task_records;
pub mod witness;

use std::time::Duration;

/// How long anything that has to happen may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// What `happens` answers, which must not take long.
async fn soon<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(DEADLINE, happens).await;
    answer.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}
