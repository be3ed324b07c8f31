//! Processes to test, and clients to test them with.

mod client;
mod document;
mod forged;
mod mail;
mod process;
mod reply;
mod sse;
mod wire;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use client::{Body, Client};
pub(crate) use document::{Operation, Parameter, operations};
pub(crate) use forged::Forged;
pub(crate) use mail::{Hold, MailServer};
pub(crate) use process::{Ended, Folder, Process, Server};
pub(crate) use reply::Reply;
pub(crate) use sse::{Message, Sse};
pub(crate) use wire::Wire;

/// How long anything may take before a test gives up on it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const TICK: Duration = Duration::from_millis(5);

/// Looks again and again until there is something to see.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "within {PATIENCE:?} it did not happen: {what}");
        thread::sleep(TICK);
    }
}
