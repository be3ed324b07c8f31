//! Health.

use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

/// The process is alive.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Health {
    /// `live`.
    pub status: String,
}

impl Example for Health {
    fn example() -> Self {
        Self { status: "live".to_owned() }
    }
}

/// The service takes requests.
#[derive(Debug, Serialize, Object)]
#[oai(example)]
pub(crate) struct Readiness {
    /// `ready`, or `degraded` where it goes on without some part.
    pub status: String,
    /// Which engine serves the database.
    pub database: String,
    /// Which engine serves the cache.
    pub cache: String,
    /// Which engine serves the bus.
    pub bus: String,
    /// Which engine serves the task queue.
    pub tasks: String,
    /// The parts that can't be used now: `cache`, `bus`, `tasks`.
    pub degraded: Vec<String>,
    /// Why each of them can't be used.
    pub reasons: Vec<Reason>,
    /// Other installations that used the same names in the last ten minutes: in the cache, on the
    /// bus, or on the task queue. Nothing they say is believed; give each a namespace of its own.
    pub neighbours: Vec<Neighbour>,
}

/// Why a part can't be used.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Reason {
    /// The part: `cache`, `bus` or `tasks`.
    pub part: String,
    /// Why it can't be used, for whoever runs the service.
    pub reason: String,
}

/// Another installation on the same names.
#[derive(Debug, Serialize, Object)]
pub(crate) struct Neighbour {
    /// Where it was met: `cache`, `bus` or `tasks`.
    pub part: String,
    /// Its id; where it was met among the tasks, how that ends.
    pub installation: String,
}

impl Example for Readiness {
    fn example() -> Self {
        Self {
            status: "ready".to_owned(),
            database: "sqlite".to_owned(),
            cache: "in-process".to_owned(),
            bus: "in-process".to_owned(),
            tasks: "database".to_owned(),
            degraded: Vec::new(),
            reasons: Vec::new(),
            neighbours: Vec::new(),
        }
    }
}
