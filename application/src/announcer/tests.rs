//! What subscribers of a process are told, by whichever way it learns of it.

use daybook_events::{MockEventBus, Signal};
use futures_util::StreamExt;

use super::*;
use crate::fakes::{FakeBus, FakeStore, event, soon};

struct Setting {
    store: Arc<FakeStore>,
    tail: Arc<Tail>,
    outside: Arc<FakeBus>,
    heard: EventSignals,
}

/// An announcer on a log of two events that were there before.
async fn given() -> Setting {
    let (store, tail) = (Arc::new(FakeStore::new()), Arc::new(Tail::new(8)));
    store.add_events((1..=2).map(|position| event(position, None)));
    let (here, outside) = (Arc::new(FakeBus::new()), Arc::new(FakeBus::new()));
    let heard = here.subscribe().await.unwrap();
    let announcer = Announcer::new(
        Arc::clone(&store) as _,
        Arc::clone(&tail),
        here,
        Some(Arc::clone(&outside) as _),
    );
    tokio::spawn(announcer.run(CancellationToken::new()));
    // Long enough for it to have found the end of the log.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Setting { store, tail, outside, heard }
}

impl Setting {
    async fn hears(&mut self) -> Vec<u64> {
        match soon(self.heard.next()).await {
            Some(Signal::Events(events)) => events.iter().map(|e| e.position.get()).collect(),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_tells_of_is_found() {
    let mut setting = given().await;
    setting.store.add_events([event(3, None)]);
    assert_eq!(setting.hears().await, [3]);
}

#[tokio::test(start_paused = true)]
async fn what_this_process_commits_is_told_without_reading() {
    let mut setting = given().await;
    setting.store.set_unreadable(true);
    setting.tail.push(vec![Arc::new(event(3, None)), Arc::new(event(4, None))]);
    assert_eq!(setting.hears().await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_outside_is_told_once_and_in_order() {
    let mut setting = given().await;
    let tell = |positions: &[u64]| {
        let events = positions.iter().map(|position| Arc::new(event(*position, None)));
        Signal::Events(events.collect())
    };
    setting.outside.tell(tell(&[2, 3]));
    assert_eq!(setting.hears().await, [3]);
    // A gap is filled from the log, and what comes again is not told again.
    setting.store.add_events((3..=6).map(|position| event(position, None)));
    setting.outside.tell(tell(&[5, 6]));
    assert_eq!(setting.hears().await, [4, 5, 6]);
    setting.outside.tell(tell(&[3, 4]));
    setting.outside.tell(Signal::Missed);
    setting.store.add_events([event(7, None)]);
    assert_eq!(setting.hears().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_the_log_is_enough() {
    let mut bus = MockEventBus::new();
    bus.expect_subscribe().returning(|| Err(daybook_events::BusError("unplugged".to_owned())));
    let (store, here) = (Arc::new(FakeStore::new()), Arc::new(FakeBus::new()));
    let mut heard = here.subscribe().await.unwrap();
    let tail = Arc::new(Tail::new(8));
    let announcer = Announcer::new(Arc::clone(&store) as _, tail, here, Some(Arc::new(bus)));
    tokio::spawn(announcer.run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.set_unreadable(true);
    store.add_events([event(1, None)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.set_unreadable(false);
    assert!(matches!(soon(heard.next()).await, Some(Signal::Events(events)) if events.len() == 1));
}
