//! What runs beside the server, and how it ends.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What stops what, in this order.
#[derive(Default)]
pub(super) struct Stop {
    pub(super) draining: CancellationToken,
    pub(super) tasks: CancellationToken,
    pub(super) streams: CancellationToken,
    pub(super) server: CancellationToken,
    pub(super) background: CancellationToken,
}

impl Stop {
    /// It is not ready any more, and no more tasks are begun; those that were not are for others at once.
    pub(super) fn leave(&self) {
        self.draining.cancel();
        self.tasks.cancel();
    }

    /// Nothing is accepted any more, streams end; requests in flight are answered while tasks in hand
    /// are finished; then what they have led to is.
    pub(super) async fn drain(self, server: JoinHandle<()>, running: Running, patience: Duration) {
        self.leave();
        self.streams.cancel();
        self.server.cancel();
        report("server", server.await);
        self.background.cancel();
        for (name, part) in running.parts {
            report(name, part.await);
        }
        // It ends when the last command is answered; nobody can hand in another.
        if let Ok(ended) = tokio::time::timeout(patience, running.appender).await {
            report("appender", ended);
        } else {
            tracing::warn!("commands were still waiting when the time for them was over");
        }
    }
}

fn report(part: &str, ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, part, "a part ended badly");
    }
}

/// The parts that run beside the server.
pub(super) struct Running {
    appender: JoinHandle<()>,
    parts: Vec<(&'static str, JoinHandle<()>)>,
}

impl Running {
    pub(super) fn new(appender: JoinHandle<()>) -> Self {
        Self { appender, parts: Vec::new() }
    }

    /// A part, which is waited for in the order in which it was added.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        part: impl Future<Output = ()> + Send + 'static,
    ) {
        self.parts.push((name, tokio::spawn(part)));
    }

    /// The name of the first part that ends although nobody stopped it.
    pub(super) async fn failure(&self) -> &'static str {
        loop {
            if self.appender.is_finished() {
                return "appender";
            }
            if let Some((name, _)) = self.parts.iter().find(|(_, part)| part.is_finished()) {
                return name;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}
