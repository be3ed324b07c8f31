//! A live connection: to one server, or to the nodes of a cluster.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{RoutingInfo, SingleNodeRoutingInfo};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, PushInfo, RedisFuture, RedisResult, Value};

use crate::address::{self, Address, Nodes};
use crate::near::Near;

/// How long an answer of a connection may take at all; what waits for one waits less.
const ANSWER: Duration = Duration::from_secs(5);

/// How many commands may wait to be written.
const WAITING: usize = 1_024;

/// Stands for the run of a server that does not tell it, and of the several servers of a cluster.
const ANY_RUN: &str = "0";

/// A live connection; clones share it.
#[derive(Clone)]
pub(crate) enum Link {
    One {
        connection: MultiplexedConnection,
        /// Names the run of the server: another after every start of it, and of another server.
        run: Arc<str>,
        near: Option<Arc<Near>>,
    },
    Cluster(ClusterConnection),
}

impl Link {
    /// Connects, and hands what the server says by itself to `hear`, in order, as it is read.
    pub(crate) async fn connect(
        address: &Address,
        near: Option<NonZeroUsize>,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        match &address.nodes {
            Nodes::One(node) => Self::connect_one((**node).clone(), near, hear).await,
            Nodes::Cluster(nodes) => {
                let client = address::cluster_client(nodes.iter().cloned())
                    .response_timeout(ANSWER)
                    .retries(3)
                    .min_retry_wait(5)
                    .max_retry_wait(20)
                    .push_sender(move |push| {
                        hear(push);
                        Ok::<_, redis::aio::SendError>(())
                    })
                    .build()?;
                client.get_async_connection().await.map(Self::Cluster)
            }
        }
    }

    async fn connect_one(
        node: redis::ConnectionInfo,
        near: Option<NonZeroUsize>,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> RedisResult<Self> {
        let near = near.map(|entries| Arc::new(Near::new(entries)));
        let told = near.clone();
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(ANSWER))
            .set_pipeline_buffer_size(WAITING)
            .set_push_sender(move |push: PushInfo| {
                if let Some(near) = &told {
                    near.hear(&push);
                }
                hear(push);
                Ok::<_, redis::aio::SendError>(())
            });
        let client = address::client(node)?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        if near.is_some() {
            let mut track = redis::cmd("CLIENT");
            track.arg("TRACKING").arg("ON").arg("OPTIN");
            track.query_async::<()>(&mut connection).await?;
        }
        let run = run(&mut connection).await.unwrap_or_else(|| ANY_RUN.to_owned()).into();
        Ok(Self::One { connection, run, near })
    }

    /// Asks for a sign of life.
    pub(crate) async fn ping(&mut self) -> RedisResult<()> {
        let ping = redis::cmd("PING");
        match self {
            Self::One { connection, .. } => ping.query_async(connection).await,
            // Of any node: one that is down is for the cluster to replace.
            Self::Cluster(connection) => {
                let any = RoutingInfo::SingleNode(SingleNodeRoutingInfo::Random);
                connection.route_command(ping, any).await?.extract_error().map(drop)
            }
        }
    }

    /// Publishes each payload on its channel, in order.
    pub(crate) async fn publish(&mut self, messages: &[(String, Vec<u8>)]) -> RedisResult<()> {
        match self {
            Self::One { connection, .. } => {
                let mut all = Pipeline::with_capacity(messages.len());
                for (channel, payload) in messages {
                    all.publish(channel, payload).ignore();
                }
                all.query_async(connection).await
            }
            // A channel always goes by the same node, which keeps what is published on it in
            // order; several channels do not go by one.
            Self::Cluster(connection) => {
                for (channel, payload) in messages {
                    let mut one = redis::cmd("PUBLISH");
                    one.arg(channel).arg(payload);
                    one.query_async::<()>(connection).await?;
                }
                Ok(())
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::One { connection, .. } => connection.subscribe(channel).await,
            Self::Cluster(connection) => connection.subscribe(channel).await,
        }
    }

    pub(crate) async fn unsubscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::One { connection, .. } => connection.unsubscribe(channel).await,
            Self::Cluster(connection) => connection.unsubscribe(channel).await,
        }
    }

    /// The run of the server, as guards name it.
    pub(crate) fn run(&self) -> Arc<str> {
        match self {
            Self::One { run, .. } => Arc::clone(run),
            Self::Cluster(_) => ANY_RUN.into(),
        }
    }

    /// What this process keeps for itself of what it read on this connection.
    pub(crate) fn near(&self) -> Option<&Arc<Near>> {
        match self {
            Self::One { near, .. } => near.as_ref(),
            Self::Cluster(_) => None,
        }
    }
}

/// The name of the server's run, in short; `None` where it is not told, as to a user without the
/// permission to ask.
async fn run(connection: &mut MultiplexedConnection) -> Option<String> {
    let mut info = redis::cmd("INFO");
    let info: String = info.arg("server").query_async(connection).await.ok()?;
    let run = info.lines().find_map(|line| line.strip_prefix("run_id:"))?.trim();
    let short: String = run.chars().filter(char::is_ascii_alphanumeric).take(16).collect();
    (!short.is_empty()).then_some(short)
}

impl ConnectionLike for Link {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One { connection, .. } => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One { connection, .. } => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One { connection, .. } => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
