//! Which installation this process works for, as all its parts know it at any moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use daybook_events::{Identity, Installation, InstallationError, InstallationId};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether another process has given the identity up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the database may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it is remembered that another installation was met.
const MET_LATELY: Duration = Duration::from_mins(10);
/// How many others are remembered.
const OTHERS: usize = 64;

/// The present identity, and which others were met where only it should be. Cloned freely; every
/// clone is told of a new one.
#[derive(Clone, Debug)]
pub struct PresentIdentity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    present: watch::Sender<Identity>,
    met: Mutex<BTreeMap<(&'static str, String), Instant>>,
}

impl PresentIdentity {
    /// Begins with what is known.
    pub fn new(identity: Identity) -> Self {
        let (present, met) = (watch::Sender::new(identity), Mutex::default());
        Self(Arc::new(Inner { present, met }))
    }

    /// The identity now.
    pub fn get(&self) -> Identity {
        *self.0.present.borrow()
    }

    /// Another installation was met on the names of this one: in its `cache`, on its `bus`, or among
    /// its `tasks`. `other` is its id, or as much of it as was seen. It is logged once.
    pub fn has_met(&self, part: &'static str, other: &str) {
        let mut met = self.0.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= OTHERS {
            met.retain(|_, at| at.elapsed() < MET_LATELY);
        }
        let met_here = (part, other.to_owned());
        let known = met.contains_key(&met_here);
        if known || met.len() < OTHERS {
            met.insert(met_here, Instant::now());
        }
        drop(met);
        if !known {
            let setting = if part == "tasks" { "DAYBOOK_TASK_QUEUE" } else { "DAYBOOK_NAMESPACE" };
            tracing::warn!(
                part,
                other,
                "another installation uses the same names; what it says is not believed: \
                 give one of them a {setting} of its own"
            );
        }
    }

    /// Where others were met in the last ten minutes.
    pub fn met_lately(&self) -> Vec<(&'static str, String)> {
        let met = self.0.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.iter()
            .filter(|(_, at)| at.elapsed() < MET_LATELY)
            .map(|(other, _)| other.clone())
            .collect()
    }

    /// Its name now.
    pub fn id(&self) -> InstallationId {
        self.get().id
    }

    /// Hears of every new identity from now on.
    pub fn changes(&self) -> watch::Receiver<Identity> {
        self.0.present.subscribe()
    }

    /// Takes what the database says. Answers whether that is new.
    fn take(&self, identity: Identity) -> bool {
        let new = |present: &mut Identity| std::mem::replace(present, identity) != identity;
        self.0.present.send_if_modified(new)
    }
}

/// Keeps [`PresentIdentity`] as the database has it, and gives it up where it is another's as well.
#[derive(Clone)]
pub struct IdentityKeeper {
    installation: Arc<dyn Installation>,
    present: PresentIdentity,
}

impl std::fmt::Debug for IdentityKeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityKeeper").field("present", &self.present).finish_non_exhaustive()
    }
}

impl IdentityKeeper {
    /// Reads the identity for the first time.
    ///
    /// # Errors
    /// [`InstallationError`] where it can't be read.
    pub async fn of(installation: Arc<dyn Installation>) -> Result<Self, InstallationError> {
        let present = PresentIdentity::new(installation.identity().await?);
        Ok(Self { installation, present })
    }

    /// The identity, for whoever uses it.
    pub fn present(&self) -> &PresentIdentity {
        &self.present
    }

    /// Gives up `old`, which was found to be another log's as well.
    ///
    /// # Errors
    /// [`InstallationError`] where the database can't be told; it is to be tried again.
    pub async fn give_up(&self, old: InstallationId) -> Result<(), InstallationError> {
        let renewed = self.installation.renew(old).await?;
        self.told(renewed);
        Ok(())
    }

    /// Looks again and again, until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match tokio::time::timeout(PATIENCE, self.installation.identity()).await {
                Ok(Ok(identity)) => self.told(identity),
                // What is known goes on; the database says more when it can be read again.
                Ok(Err(error)) => tracing::debug!(%error, "the identity was not read"),
                Err(_) => {}
            }
        }
    }

    fn told(&self, identity: Identity) {
        let before = self.present.id();
        if self.present.take(identity) {
            tracing::warn!(
                %before, now = %identity.id,
                "this installation has a new identity: its log was copied or put back"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use async_trait::async_trait;
    use uuid::Uuid;

    use super::*;

    /// One row that several processes read and change.
    struct Row(Mutex<Identity>);

    fn identity(number: u128) -> Identity {
        let secret = number.to_be_bytes();
        Identity { id: InstallationId::from_uuid(Uuid::from_u128(number)), secret }
    }

    #[async_trait]
    impl Installation for Row {
        async fn identity(&self) -> Result<Identity, InstallationError> {
            Ok(*self.0.lock().unwrap())
        }

        async fn renew(&self, old: InstallationId) -> Result<Identity, InstallationError> {
            let mut row = self.0.lock().unwrap();
            if row.id == old {
                *row = identity(row.id.uuid().as_u128() + 1);
            }
            Ok(*row)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_process_gives_up_the_others_give_up_too() {
        let row = Arc::new(Row(Mutex::new(identity(1))));
        let one = IdentityKeeper::of(row.clone()).await.unwrap();
        let other = IdentityKeeper::of(row).await.unwrap();
        let mut changes = other.present().changes();
        let stop = CancellationToken::new();
        let running = tokio::spawn(other.clone().run(stop.clone()));
        one.give_up(identity(1).id).await.unwrap();
        assert_eq!(one.present().get(), identity(2));
        tokio::time::timeout(LOOK_EVERY * 2, changes.changed()).await.unwrap().unwrap();
        assert_eq!(other.present().get(), identity(2));
        // It is late with this: the identity it found was given up already.
        other.give_up(identity(1).id).await.unwrap();
        assert_eq!(other.present().get(), identity(2));
        stop.cancel();
        running.await.unwrap();
    }
}
