//! The built binary from outside, on real engines: what holds on the embedded ones holds on Postgres,
//! Redis and RabbitMQ, with two instances that serve and two that work, whichever of them answers.
//!
//! The tests of the black box run here as they stand. What only several instances, or servers, can
//! show has files of its own.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod combinations;
mod copies;
mod engines;
mod instances;

#[path = "../black_box/access_matrix.rs"]
mod access_matrix;
#[path = "../black_box/bad_input.rs"]
mod bad_input;
#[path = "../black_box/bounds.rs"]
mod bounds;
#[path = "../black_box/canaries.rs"]
mod canaries;
#[path = "../black_box/connections.rs"]
mod connections;
#[path = "../black_box/crash.rs"]
mod crash;
#[path = "../black_box/drain.rs"]
mod drain;
#[path = "../black_box/fair_tasks.rs"]
mod fair_tasks;
#[path = "../black_box/framing.rs"]
mod framing;
#[path = "../black_box/fresh_reads.rs"]
mod fresh_reads;
#[path = "../black_box/known_programs.rs"]
mod known_programs;
#[path = "../black_box/known_routes.rs"]
mod known_routes;
#[path = "../black_box/largest_bodies.rs"]
mod largest_bodies;
mod lost_waits;
#[path = "../black_box/mail_policy.rs"]
mod mail_policy;
#[path = "../black_box/metrics.rs"]
mod metrics;
#[path = "../black_box/odd_texts.rs"]
mod odd_texts;
#[path = "../black_box/operators.rs"]
mod operators;
mod others;
#[path = "../black_box/others_things.rs"]
mod others_things;
#[path = "../black_box/parameters.rs"]
mod parameters;
#[path = "../black_box/quiet_log.rs"]
mod quiet_log;
mod readiness;
#[path = "../black_box/rebuild.rs"]
mod rebuild;
mod rebuild_live;
#[path = "../black_box/repeated_requests.rs"]
mod repeated_requests;
#[path = "../black_box/same_meaning.rs"]
mod same_meaning;
#[path = "../black_box/schedules.rs"]
mod schedules;
#[path = "../black_box/sessions.rs"]
mod sessions;
#[path = "../black_box/sign_in.rs"]
mod sign_in;
#[path = "../black_box/slow_clients.rs"]
mod slow_clients;
mod startup_faults;
#[path = "../black_box/support/mod.rs"]
mod support;
#[path = "../black_box/task_kills.rs"]
mod task_kills;
#[path = "../black_box/tasks.rs"]
mod tasks;
#[path = "../black_box/tokens.rs"]
mod tokens;
#[path = "../black_box/transfers.rs"]
mod transfers;
#[path = "../black_box/verify.rs"]
mod verify;
#[path = "../black_box/walkthrough.rs"]
mod walkthrough;
