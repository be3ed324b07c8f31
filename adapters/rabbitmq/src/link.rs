//! How a connection that is restored without end stands.

use std::time::Duration;

use tokio::sync::watch;
use uuid::Uuid;

use crate::fault::Fault;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How a connection stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It was not tried yet, or was just lost.
    Connecting,
    /// It can be used.
    Up,
    /// The last try failed.
    Down(Fault),
}

/// How a connection that is restored without end stands. What changes is logged, once.
pub(crate) struct Link {
    /// What the connection is for.
    what: &'static str,
    state: watch::Sender<State>,
}

impl Link {
    pub(crate) fn new(what: &'static str) -> Self {
        Self { what, state: watch::Sender::new(State::Connecting) }
    }

    pub(crate) fn up(&self) {
        self.state.send_replace(State::Up);
        tracing::info!(connection = self.what, "connected to RabbitMQ");
    }

    pub(crate) fn lost(&self, fault: &Fault) {
        self.state.send_replace(State::Connecting);
        tracing::warn!(connection = self.what, "{fault}; it is restored");
    }

    /// A try failed. Said aloud where it is not what failed the last time.
    pub(crate) fn failed(&self, fault: &Fault) {
        if self.failed_quietly(fault) {
            tracing::warn!(connection = self.what, "{fault}; it is tried again without end");
        }
    }

    /// A try failed, and whoever asked for it says so; answers whether that is news.
    pub(crate) fn failed_quietly(&self, fault: &Fault) -> bool {
        let down = State::Down(fault.clone());
        self.state.send_replace(down.clone()) != down
    }

    /// What is wrong with it, if it can't be used.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &*self.state.borrow() {
            State::Down(fault) => Some(fault.clone()),
            State::Connecting | State::Up => None,
        }
    }

    /// How it stands; waits a little where that is just being found out.
    pub(crate) async fn verdict(&self, patience: Duration) -> State {
        let mut state = self.state.subscribe();
        let known = state.wait_for(|state| *state != State::Connecting);
        match tokio::time::timeout(patience, known).await {
            Ok(Ok(state)) => state.clone(),
            Ok(Err(_)) | Err(_) => State::Connecting,
        }
    }

    /// Waits until something is wrong that waiting does not mend.
    pub(crate) async fn hopeless(&self) -> Fault {
        let mut state = self.state.subscribe();
        loop {
            if let State::Down(fault) = &*state.borrow_and_update()
                && fault.is_permanent()
            {
                return fault.clone();
            }
            if state.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Ever longer pauses between tries, up to a bound.
pub(crate) struct Pauses(Duration);

impl Pauses {
    pub(crate) const fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    /// The pause after a connection that lasted so long: the shortest, unless it ended at once.
    pub(crate) fn after(&mut self, lasted: Duration) -> Duration {
        if lasted > LONGEST_PAUSE {
            *self = Self::new();
        }
        self.next()
    }

    /// The next pause, some of it by chance: processes that lost the broker together don't all
    /// come back together.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST_PAUSE);
        let [.., chance] = Uuid::now_v7().into_bytes();
        pause / 2 + pause / 2 * u32::from(chance) / 255
    }
}
