//! Faults put into the service itself. Each must be found by a trial: so the checks are seen to be able
//! to fail.
//!
//! Three stand between the application and an adapter ([`Planted`]), in the program `daybook-planted`,
//! which is Daybook otherwise. The fourth replaces the database's function that appends.

mod clock;
mod journal;
mod lock_left_out;
mod versions_ignored;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use daybook::Wrap;
use daybook_application::Row;
use daybook_events::{Cache, Clock, Journal};

use journal::{PlantedJournal, Wrong};

pub use lock_left_out::leave_out_the_lock;

/// A fault to plant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// The cache takes whatever it is given, also what is older.
    VersionsIgnored,
    /// The log is followed by its timestamps.
    ReadByTime,
    /// Commands are acknowledged before they are committed.
    AcknowledgedEarly,
    /// Positions are given out without the journal's lock.
    LockLeftOut,
}

impl Plant {
    /// All there are.
    pub const ALL: [Self; 4] =
        [Self::VersionsIgnored, Self::ReadByTime, Self::AcknowledgedEarly, Self::LockLeftOut];

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::VersionsIgnored => "cache-ignores-versions",
            Self::ReadByTime => "relay-reads-by-time",
            Self::AcknowledgedEarly => "ack-before-commit",
            Self::LockLeftOut => "append-without-lock",
        }
    }

    /// The fault with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plant| plant.name() == name)
    }
}

/// Puts one fault around the adapters, or none.
#[derive(Clone, Debug)]
pub struct Planted {
    /// The fault.
    pub fault: Option<Plant>,
    /// A file that says by how many seconds the clock is off; it may change at any time.
    pub clock: Option<PathBuf>,
}

impl Wrap for Planted {
    fn journal(&self, journal: Arc<dyn Journal<Row>>) -> Arc<dyn Journal<Row>> {
        let wrong = match self.fault {
            Some(Plant::ReadByTime) => Wrong::IsReadByTime(Mutex::default()),
            Some(Plant::AcknowledgedEarly) => Wrong::AcknowledgesEarly(Arc::default()),
            Some(Plant::VersionsIgnored | Plant::LockLeftOut) | None => return journal,
        };
        Arc::new(PlantedJournal::new(journal, wrong))
    }

    fn clock(&self, clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        match &self.clock {
            Some(file) => Arc::new(clock::Jumping::new(clock, file.clone())),
            None => clock,
        }
    }

    fn cache(&self, cache: Arc<dyn Cache>) -> Arc<dyn Cache> {
        match self.fault {
            Some(Plant::VersionsIgnored) => Arc::new(versions_ignored::VersionsIgnored::new(cache)),
            Some(Plant::ReadByTime | Plant::AcknowledgedEarly | Plant::LockLeftOut) | None => cache,
        }
    }
}
