//! Two logs with one identity, and a log that was put back.
#![expect(clippy::indexing_slicing, reason = "a test may stop at the first surprise")]

use std::sync::Mutex;

use async_trait::async_trait;
use daybook_events::{
    EventId, Identity, Installation, InstallationError, InstallationId, WitnessError,
};
use uuid::Uuid;

use super::*;
use crate::fakes::{FakeStore, event};

/// What the logs meet at, with one place for each identity.
#[derive(Default)]
struct Wall(Mutex<Vec<(InstallationId, Head)>>);

/// The witness of one log.
struct Door(Arc<Wall>, Arc<Named>);

/// The row of its database that names it.
struct Named(Mutex<Identity>);

#[async_trait]
impl Installation for Named {
    async fn identity(&self) -> Result<Identity, InstallationError> {
        Ok(*self.0.lock().unwrap())
    }

    async fn renew(&self, old: InstallationId) -> Result<Identity, InstallationError> {
        let mut present = self.0.lock().unwrap();
        if present.id == old {
            present.id = InstallationId::from_uuid(Uuid::new_v4());
        }
        Ok(*present)
    }
}

#[async_trait]
impl Witness for Door {
    async fn seen(&self) -> Result<Option<Head>, WitnessError> {
        let id = self.1.0.lock().unwrap().id;
        let told = self.0.0.lock().unwrap();
        Ok(told.iter().rev().find(|(of, _)| *of == id).map(|(_, head)| *head))
    }

    async fn tell(&self, head: Head) -> Result<(), WitnessError> {
        let id = self.1.0.lock().unwrap().id;
        self.0.0.lock().unwrap().push((id, head));
        Ok(())
    }
}

const COPIED: u128 = 7;

struct Site {
    log: Arc<FakeStore>,
    watch: ForkWatch,
}

impl Site {
    /// A log of the identity that was copied, with these events.
    async fn with(wall: &Arc<Wall>, events: &[(u64, u128)]) -> Self {
        let id = InstallationId::from_uuid(Uuid::from_u128(COPIED));
        let row = Arc::new(Named(Mutex::new(Identity { id, secret: [1; 16] })));
        let log = Arc::new(FakeStore::new());
        let door = Arc::new(Door(Arc::clone(wall), Arc::clone(&row)));
        let keeper = IdentityKeeper::of(row).await.unwrap();
        let site = Self { watch: ForkWatch::new(door, Arc::clone(&log) as _, keeper), log };
        for (position, id) in events {
            site.writes(*position, *id);
        }
        site
    }

    fn writes(&self, position: u64, id: u128) {
        let id = EventId::from_uuid(Uuid::from_u128(id));
        self.log.add_events([daybook_events::RecordedEvent { id, ..event(position, None) }]);
    }

    fn has_given_up(&self) -> bool {
        self.watch.keeper.present().id().uuid().as_u128() != COPIED
    }
}

#[tokio::test]
async fn one_log_keeps_its_identity_whoever_of_its_processes_looks() {
    let wall = Arc::default();
    let site = Site::with(&wall, &[]).await;
    let other = site.watch.clone();
    for position in 1..=20 {
        site.watch.look().await.unwrap();
        site.writes(position, position.into());
        other.look().await.unwrap();
        other.look().await.unwrap();
    }
    assert!(!site.has_given_up());
    let told = wall.0.lock().unwrap();
    assert_eq!(told.len(), 20, "it is told of what is new");
}

#[tokio::test]
async fn a_log_that_was_put_back_gets_a_new_identity_also_when_it_has_gone_on() {
    for gone_on in [&[][..], &[(2, 22)], &[(2, 22), (3, 33), (4, 44)]] {
        let wall = Arc::default();
        let before = Site::with(&wall, &[(1, 1), (2, 2), (3, 3)]).await;
        before.watch.look().await.unwrap();
        let mut events = vec![(1, 1)];
        events.extend(gone_on);
        let back = Site::with(&wall, &events).await;
        back.watch.look().await.unwrap();
        assert!(back.has_given_up(), "{gone_on:?}");
        let new = back.watch.keeper.present().id();
        back.watch.look().await.unwrap();
        back.watch.look().await.unwrap();
        assert_eq!(back.watch.keeper.present().id(), new, "and keeps that");
    }
}

#[tokio::test]
async fn of_a_log_and_its_copy_not_both_keep_the_identity_once_one_has_written() {
    // In which order they look and write.
    for order in 0..64_u32 {
        let wall = Arc::default();
        let sites = [Site::with(&wall, &[(1, 1)]).await, Site::with(&wall, &[(1, 1)]).await];
        let mut last = [1, 1];
        for step in 0..6 {
            let at = usize::from(order >> step & 1 == 1);
            last[at] += 1;
            sites[at].writes(last[at], u128::from(last[at]) * 10 + at as u128);
            sites[at].watch.look().await.unwrap();
        }
        for site in [&sites[0], &sites[1], &sites[0]] {
            site.watch.look().await.unwrap();
        }
        let ids = sites.each_ref().map(|site| site.watch.keeper.present().id());
        assert_ne!(ids[0], ids[1], "order {order:06b}");
    }
}

#[tokio::test]
async fn what_can_not_be_compared_is_not_given_up() {
    let wall = Arc::default();
    let site = Site::with(&wall, &[(1, 1)]).await;
    site.watch.look().await.unwrap();
    site.log.set_unreadable(true);
    assert!(site.watch.look().await.is_err());
    assert!(!site.has_given_up());
}
