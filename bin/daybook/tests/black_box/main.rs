//! The built binary, from outside: what its clients, its operators and a power cut see.
//!
//! Every test starts its own processes on a folder of its own and talks to them over loopback. To
//! add one, put it in the file whose subject it is; what several need stands in [`support`].

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod access_matrix;
mod bad_input;
mod bounds;
mod canaries;
mod connections;
mod crash;
mod drain;
mod engines;
mod fair_tasks;
mod framing;
mod fresh_reads;
mod known_programs;
mod known_routes;
mod largest_bodies;
mod limits;
mod mail_policy;
mod messages;
mod metrics;
mod odd_texts;
mod operators;
mod others_things;
mod parameters;
mod quiet_log;
mod rebuild;
mod rebuild_served;
mod repeated_requests;
mod same_meaning;
mod schedules;
mod sessions;
mod sign_in;
mod slow_clients;
mod startup_faults;
mod support;
mod task_kills;
mod tasks;
mod tokens;
mod transfers;
mod verify;
mod walkthrough;
