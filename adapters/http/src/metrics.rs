//! `/metrics`: what an operator watches, as text that `Prometheus` and its like collect.
//!
//! For whoever collects it, without a token: it tells of the service, and of nobody who uses it.

use std::sync::Arc;

use daybook_application::{Commands, Queries, Sessions};
use daybook_events::Clock;
use futures_util::future::join_all;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, IntoResponse, Request, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::api::Engines;
use crate::connections::Connections;
use crate::problem::{Kind, Problem};
use crate::room::ReplyRoom;
use crate::seldom::Seldom;

const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label and its value.
type Label = [(&'static str, String); 1];

/// How many requests were answered, by status.
#[derive(Clone, Default)]
pub(crate) struct Answers(Family<Label, Counter>);

impl Answers {
    pub(crate) fn count(&self, status: StatusCode) {
        self.0.get_or_create(&[("status", status.as_u16().to_string())]).inc();
    }
}

/// Answers `/metrics`.
pub(crate) struct Metrics {
    pub(crate) answers: Answers,
    pub(crate) commands: Commands,
    pub(crate) queries: Queries,
    pub(crate) engines: Engines,
    pub(crate) clock: Arc<dyn Clock>,
    /// The names of the relays, by which their progress is known.
    pub(crate) relays: Arc<[&'static str]>,
    pub(crate) sessions: Sessions,
    pub(crate) refused_streams: Seldom,
    pub(crate) replies: ReplyRoom,
    pub(crate) connections: Connections,
}

impl Endpoint for Metrics {
    type Output = Response;

    async fn call(&self, _: Request) -> poem::Result<Response> {
        let registry = self.collect().await?;
        let mut text = String::new();
        encode(&mut text, &registry).map_err(|error| {
            tracing::error!(%error, "the metrics could not be written");
            poem::Error::from_response(Problem::new(Kind::Internal).into_response())
        })?;
        let mut response = text.into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        Ok(response)
    }
}

impl Metrics {
    async fn collect(&self) -> poem::Result<Registry> {
        let mut registry = Registry::with_prefix("daybook");
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The version that runs", version);
        registry.register("responses", "Requests answered, by status", self.answers.0.clone());
        let load = self.commands.load();
        let waiting = gauge(load.waiting);
        registry.register("commands_waiting", "Commands that wait for the next commit", waiting);
        let limit = gauge(load.limit);
        registry.register("commands_limit", "Past so many that wait they are refused", limit);
        registry.register(
            "engine_up",
            "Whether the cache, the bus and the task queue can be used",
            self.engines_up().await,
        );
        self.add_audit(&mut registry);
        self.add_bounds(&mut registry);
        self.add_progress(&mut registry).await;
        Ok(registry)
    }

    fn add_audit(&self, registry: &mut Registry) {
        let acts = Family::<[(&'static str, &'static str); 2], Counter>::default();
        for (act, outcome, count) in self.commands.audit().counts() {
            let labels = [("act", act.as_str()), ("outcome", outcome.as_str())];
            acts.get_or_create(&labels).inc_by(count);
        }
        let help = "Registrations, log-ins, log-outs and changes of passwords, by outcome";
        registry.register("audited_acts", help, acts);
    }

    fn add_bounds(&self, registry: &mut Registry) {
        let (open, limit) = self.sessions.streams();
        registry.register("streams_open", "Streams that are open", gauge(open));
        registry.register("streams_limit", "Past so many they are refused", gauge(limit));
        let refused = Counter::<u64>::default();
        refused.inc_by(self.refused_streams.total());
        let help = "Streams that were refused, as too many were open";
        registry.register("streams_refused", help, refused);
        let (open, limit) = self.connections.open();
        registry.register("connections_open", "Connections that are open", gauge(open));
        registry.register("connections_limit", "How many there may be", gauge(limit));
        let refused = Counter::<u64>::default();
        refused.inc_by(self.connections.refused());
        let help = "Connections that were refused, or refused a holder, as there were too many";
        registry.register("connections_refused", help, refused);
        let (taken, limit) = self.replies.taken();
        let help = "Bytes of replies that their readers have not taken yet";
        registry.register("reply_bytes", help, gauge(taken));
        registry.register("reply_bytes_limit", "How many there may be", gauge(limit));
        let refused = Counter::<u64>::default();
        refused.inc_by(self.replies.refused());
        let help = "Replies that there was no room for";
        registry.register("replies_refused", help, refused);
    }

    async fn engines_up(&self) -> Family<Label, Gauge> {
        let Engines { cache, bus, tasks, .. } = &self.engines;
        let parts = [("cache", cache), ("bus", bus), ("tasks", tasks)];
        let troubles = join_all(parts.map(|(_, engine)| engine.probe.trouble())).await;
        let up = Family::<Label, Gauge>::default();
        for ((part, _), trouble) in parts.into_iter().zip(troubles) {
            up.get_or_create(&[("part", part.to_owned())]).set(i64::from(trouble.is_none()));
        }
        up
    }

    /// How far the log is, and the relays behind it; what is known without the database is told
    /// all the same where it can't be asked.
    async fn add_progress(&self, registry: &mut Registry) {
        let progress = self.queries.progress(&self.relays).await;
        let up = gauge(usize::from(progress.is_ok()));
        registry.register("database_up", "Whether the database can be reached", up);
        let writable = gauge(usize::from(self.queries.ready().await.is_ok()));
        registry.register("database_writable", "Whether the database takes writes", writable);
        let Ok(progress) = progress else { return };
        if let Ok(count) = self.queries.overdue_tasks(self.clock.now()).await {
            let overdue = Gauge::<i64>::default();
            overdue.set(i64::try_from(count).unwrap_or(i64::MAX));
            let help = "Tasks that have been due for a minute and are not begun";
            registry.register("tasks_overdue", help, overdue);
        }
        let head = Gauge::<i64>::default();
        head.set(progress.head.get().cast_signed());
        registry.register("log_position", "The position of the last event", head);
        let lag = Family::<Label, Gauge>::default();
        for (relay, position) in progress.relays {
            let behind = progress.head.get().saturating_sub(position.get());
            lag.get_or_create(&[("relay", relay.to_owned())]).set(behind.cast_signed());
        }
        registry.register("relay_lag_events", "How many events a relay has yet to hand on", lag);
    }
}

fn gauge(value: usize) -> Gauge {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}
