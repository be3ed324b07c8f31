//! How a connection that is restored without end stands.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use daybook_application::TroubleLog;
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

/// How a connection that is restored without end stands. That it can't be used is logged when it begins,
/// once an hour, and when it has ended.
pub(crate) struct Link {
    log: Mutex<TroubleLog>,
    state: watch::Sender<State>,
}

impl Link {
    pub(crate) fn new(what: &'static str) -> Self {
        let log = Mutex::new(TroubleLog::new(format!("RabbitMQ ({what})")));
        Self { log, state: watch::Sender::new(State::Connecting) }
    }

    pub(crate) fn up(&self) {
        self.state.send_replace(State::Up);
        self.look(None);
    }

    /// A connection was lost. Why is said by what the next one meets.
    pub(crate) fn lost(&self, fault: &Fault) {
        self.state.send_replace(State::Connecting);
        tracing::debug!("{fault}; it is restored");
    }

    /// It can't be used. It is tried again without end.
    pub(crate) fn failed(&self, fault: &Fault) {
        self.failed_quietly(fault);
        self.look(Some(fault));
    }

    /// A try failed, and whoever asked for it says so.
    pub(crate) fn failed_quietly(&self, fault: &Fault) {
        self.state.send_replace(State::Down(fault.clone()));
    }

    fn look(&self, fault: Option<&Fault>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.look(fault.map(|fault| fault as _));
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
