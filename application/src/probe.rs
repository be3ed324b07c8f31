//! Whether what lies outside can be used now.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use daybook_events::{Cache, EventBus, TaskQueue};

/// How long something may take to say that it is well.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks one part whether it can be used now.
#[derive(Clone)]
pub enum Probe {
    /// It is part of the process, or of the database.
    Always,
    /// A cache.
    Cache(Arc<dyn Cache>),
    /// A bus.
    Bus(Arc<dyn EventBus>),
    /// A queue.
    Tasks(Arc<dyn TaskQueue>),
}

impl fmt::Debug for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Probe(…)")
    }
}

impl Probe {
    /// Why it can't be used; `None` where it can.
    pub async fn trouble(&self) -> Option<String> {
        let asked = async {
            match self {
                Self::Always => None,
                Self::Cache(cache) => cache.check().await.err().map(|error| error.to_string()),
                Self::Bus(bus) => bus.check().await.err().map(|error| error.to_string()),
                Self::Tasks(tasks) => tasks.check().await.err().map(|error| error.to_string()),
            }
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(trouble) => trouble,
            Err(_) => Some("it does not answer".to_owned()),
        }
    }
}
