//! Whether the service is alive and ready.

use daybook_application::Probe;
use daybook_events::JournalError;
use futures_util::future::join_all;
use poem_openapi::OpenApi;

use super::{Context, Group};
use crate::document::{Health, Neighbour, Readiness, Reason};
use crate::problem::{Failure, Kind, NotReady, Problem};
use crate::reply::Json;

/// An engine that serves a port.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Its name.
    pub name: String,
    /// Whether it can be used now.
    pub probe: Probe,
}

/// Which engine serves each port.
#[derive(Clone, Debug)]
pub struct Engines {
    /// The database. The service is not ready without it.
    pub database: String,
    /// The cache.
    pub cache: Engine,
    /// The bus.
    pub bus: Engine,
    /// The task queue.
    pub tasks: Engine,
}

pub(crate) struct HealthApi(pub Context);

#[OpenApi(tag = "Group::Health")]
impl HealthApi {
    /// Whether the process is alive
    ///
    /// Asks nothing of anything else.
    #[oai(path = "/health/live", method = "get", operation_id = "live")]
    #[expect(clippy::unused_async, reason = "operations are asynchronous")]
    async fn live(&self) -> Json<Health> {
        Json::of(&Health { status: "live".to_owned() })
    }

    /// Whether the service takes requests
    ///
    /// Not while the database can't be reached or takes no writes, nor when it is shutting down. Without its cache, its bus
    /// or its task queue it goes on: it is `degraded`, `reasons` says why, and what was due is done when they are
    /// back. Another installation that uses the same names is listed in `neighbours`.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Result<Json<Readiness>, Failure<NotReady>> {
        if self.0.draining.is_cancelled() {
            return Err(
                Problem::with_detail(Kind::Unavailable, "the service is shutting down").into()
            );
        }
        let ready = self.0.queries.ready().await;
        self.0.note_readiness(ready.as_ref().err());
        if let Err(error) = ready {
            let detail = match error {
                JournalError::ReadOnly(reason) => format!("the database takes no writes: {reason}"),
                JournalError::Unavailable(_)
                | JournalError::Unknown(_)
                | JournalError::Corrupt(_) => "the database is unavailable".to_owned(),
            };
            return Err(Problem::with_detail(Kind::Unavailable, detail).into());
        }
        let Engines { database, cache, bus, tasks } = self.0.engines.clone();
        let parts = [("cache", &cache), ("bus", &bus), ("tasks", &tasks)];
        let troubles = join_all(parts.map(|(_, engine)| engine.probe.trouble())).await;
        let reasons: Vec<_> = parts
            .into_iter()
            .zip(troubles)
            .filter_map(|((part, _), trouble)| {
                Some(Reason { part: part.to_owned(), reason: trouble? })
            })
            .collect();
        let met = self.0.identity.met_lately().into_iter();
        let status = if reasons.is_empty() { "ready" } else { "degraded" };
        Ok(Json::of(&Readiness {
            status: status.to_owned(),
            database,
            cache: cache.name,
            bus: bus.name,
            tasks: tasks.name,
            degraded: reasons.iter().map(|reason| reason.part.clone()).collect(),
            reasons,
            neighbours: met
                .map(|(part, other)| Neighbour { part: part.to_owned(), installation: other })
                .collect(),
        }))
    }
}
