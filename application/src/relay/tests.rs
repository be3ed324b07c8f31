//! What a destination gets, and who hands it on.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use daybook_events::ElectionError;

use super::*;
use crate::fakes::{FakeStore, event, soon};

/// A destination that remembers, and fails as long as it is told to.
#[derive(Default)]
struct Place {
    taken: Mutex<Vec<u64>>,
    failing: AtomicBool,
}

impl Place {
    fn taken(&self) -> Vec<u64> {
        self.taken.lock().unwrap().clone()
    }
}

#[async_trait]
impl Destination for Place {
    async fn take(&self, events: &[Arc<RecordedEvent>]) -> Result<(), String> {
        if self.failing.load(Ordering::SeqCst) {
            return Err("unplugged".to_owned());
        }
        self.taken.lock().unwrap().extend(events.iter().map(|event| event.position.get()));
        Ok(())
    }
}

/// One lead, which can be taken away from whoever has it.
#[derive(Clone, Default)]
struct Ballot {
    taken: Arc<AtomicBool>,
    term: Arc<AtomicU32>,
    elected: Arc<AtomicU32>,
}

struct Office(Ballot, u32);

#[async_trait]
impl Election for Ballot {
    async fn try_lead(&self, _: &str) -> Result<Option<Box<dyn Lead>>, ElectionError> {
        if self.taken.swap(true, Ordering::SeqCst) {
            return Ok(None);
        }
        self.elected.fetch_add(1, Ordering::SeqCst);
        Ok(Some(Box::new(Office(self.clone(), self.term.load(Ordering::SeqCst)))))
    }
}

#[async_trait]
impl Lead for Office {
    async fn is_held(&mut self) -> bool {
        self.0.term.load(Ordering::SeqCst) == self.1
    }
}

impl Drop for Office {
    fn drop(&mut self) {
        self.0.taken.store(false, Ordering::SeqCst);
    }
}

struct Setting {
    store: Arc<FakeStore>,
    place: Arc<Place>,
    ballot: Ballot,
    tail: Arc<Tail>,
    stop: CancellationToken,
}

impl Setting {
    fn new(head: u64) -> Self {
        let store = Arc::new(FakeStore::new());
        store.add_events((1..=head).map(|position| event(position, None)));
        let (place, ballot) = (Arc::default(), Ballot::default());
        Self { store, place, ballot, tail: crate::fakes::tail(8), stop: CancellationToken::new() }
    }

    fn start(&self) -> tokio::task::JoinHandle<()> {
        let relay = Relay::new(
            "relay",
            Arc::clone(&self.store) as _,
            Arc::new(self.ballot.clone()),
            Arc::clone(&self.place) as _,
            Arc::clone(&self.tail),
        );
        tokio::spawn(relay.run(self.stop.clone()))
    }

    async fn taken_up_to(&self, last: u64) -> Vec<u64> {
        soon(async {
            while self.place.taken().last() != Some(&last) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        self.place.taken()
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_handed_on_in_order_and_what_comes_too() {
    let setting = Setting::new(5_000);
    let relay = setting.start();
    assert_eq!(setting.taken_up_to(5_000).await, (1..=5_000).collect::<Vec<_>>());
    setting.store.add_events([event(5_001, None)]);
    assert_eq!(setting.taken_up_to(5_001).await.len(), 5_001);
    setting.stop.cancel();
    soon(relay).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_goes_on_where_it_was_after_a_restart() {
    let setting = Setting::new(3);
    let relay = setting.start();
    setting.taken_up_to(3).await;
    setting.stop.cancel();
    soon(relay).await.unwrap();
    setting.store.add_events([event(4, None)]);
    let again = Setting { stop: CancellationToken::new(), ..setting };
    again.start();
    assert_eq!(again.taken_up_to(4).await, [1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn of_several_one_hands_on_and_another_takes_over() {
    let first = Setting::new(2);
    let second = Setting {
        store: Arc::clone(&first.store),
        place: Arc::clone(&first.place),
        ballot: first.ballot.clone(),
        tail: crate::fakes::tail(8),
        stop: CancellationToken::new(),
    };
    let relay = first.start();
    first.taken_up_to(2).await;
    second.start();
    first.store.add_events([event(3, None)]);
    assert_eq!(first.taken_up_to(3).await, [1, 2, 3]);
    assert_eq!(first.ballot.elected.load(Ordering::SeqCst), 1);
    first.stop.cancel();
    soon(relay).await.unwrap();
    first.store.add_events([event(4, None)]);
    assert_eq!(first.taken_up_to(4).await, [1, 2, 3, 4]);
    assert_eq!(first.ballot.elected.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn where_it_can_not_hand_on_it_gives_the_lead_away_and_loses_nothing() {
    let setting = Setting::new(2);
    setting.place.failing.store(true, Ordering::SeqCst);
    setting.start();
    soon(async {
        while setting.ballot.elected.load(Ordering::SeqCst) < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    setting.place.failing.store(false, Ordering::SeqCst);
    assert_eq!(setting.taken_up_to(2).await, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_lead_stops_handing_on() {
    let setting = Setting::new(2);
    setting.start();
    setting.taken_up_to(2).await;
    // The connection that held it broke, and someone else was elected.
    setting.ballot.term.fetch_add(1, Ordering::SeqCst);
    soon(async {
        while setting.ballot.elected.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    setting.store.add_events([event(3, None)]);
    assert_eq!(setting.taken_up_to(3).await, [1, 2, 3]);
}
