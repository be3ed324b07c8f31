//! Whether the service is alive and ready.

use poem_openapi::OpenApi;

use super::{Context, Group};
use crate::document::{Health, Readiness};
use crate::problem::{Failure, Kind, NotReady, Problem};
use crate::reply::Json;

/// Which engine serves each port.
#[derive(Clone, Debug)]
pub(crate) struct Engines {
    pub database: String,
    pub cache: String,
    pub bus: String,
    pub tasks: String,
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
    /// Not while the database can't be reached, nor when it is shutting down.
    #[oai(path = "/health/ready", method = "get", operation_id = "ready")]
    async fn ready(&self) -> Result<Json<Readiness>, Failure<NotReady>> {
        if self.0.draining.is_cancelled() {
            return Err(
                Problem::with_detail(Kind::Unavailable, "the service is shutting down").into()
            );
        }
        if let Err(error) = self.0.queries.ready().await {
            tracing::warn!(%error, "not ready");
            return Err(
                Problem::with_detail(Kind::Unavailable, "the database is unavailable").into()
            );
        }
        let engines = self.0.engines.clone();
        Ok(Json::of(&Readiness {
            status: "ready".to_owned(),
            database: engines.database,
            cache: engines.cache,
            bus: engines.bus,
            tasks: engines.tasks,
        }))
    }
}
