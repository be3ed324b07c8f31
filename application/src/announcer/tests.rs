//! What subscribers of a process are told, by whichever way it learns of it.

use std::sync::atomic::{AtomicU64, Ordering};

use daybook_events::{EventFilter, MockEventBus, MockJournal, RecordedEvent, Signal};
use tokio::sync::watch;

use super::*;
use crate::fakes::{FakeBus, FakeStore, event, soon, tail};

struct Setting {
    store: Arc<FakeStore>,
    tail: Arc<Tail>,
    outside: Arc<FakeBus>,
    told: Arc<Tail>,
    heard: watch::Receiver<Position>,
    last: Position,
}

/// An announcer on a log of two events that were there before.
async fn given() -> Setting {
    let (store, own, told) = (Arc::new(FakeStore::new()), tail(8), tail(8));
    store.add_events((1..=2).map(|position| event(position, None)));
    let outside = Arc::new(FakeBus::new());
    let announcer = Announcer::new(
        Arc::clone(&store) as _,
        Arc::clone(&own),
        Arc::clone(&told),
        Some(Arc::clone(&outside) as _),
    );
    tokio::spawn(announcer.run(CancellationToken::new()));
    // Long enough for it to have found the end of the log.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let heard = told.commits();
    Setting { store, tail: own, outside, told, heard, last: Position::new(2) }
}

impl Setting {
    /// What is told of next.
    async fn hears(&mut self) -> Vec<u64> {
        soon(self.heard.changed()).await.unwrap();
        self.told()
    }

    fn told(&mut self) -> Vec<u64> {
        let events = self.told.after(self.last, 100, usize::MAX).unwrap_or_default();
        self.last = events.last().map_or(self.last, |event| event.position);
        events.iter().map(|event| event.position.get()).collect()
    }
}

/// What the bus says of events at these positions.
fn signal(positions: impl IntoIterator<Item = u64>) -> Signal {
    let events = positions.into_iter().map(|position| Arc::new(event(position, None)));
    Signal::Events(events.collect())
}

#[tokio::test(start_paused = true)]
async fn what_nobody_tells_of_is_found() {
    let mut setting = given().await;
    assert_eq!(setting.tail.reached(), Position::new(2));
    setting.store.add_events([event(3, None)]);
    assert_eq!(setting.hears().await, [3]);
    tokio::task::yield_now().await;
    assert_eq!(setting.tail.reached(), Position::new(3));
}

#[tokio::test(start_paused = true)]
async fn what_this_process_commits_is_told_without_reading() {
    let mut setting = given().await;
    setting.store.set_unreadable(true);
    setting.tail.push(vec![Arc::new(event(3, None)), Arc::new(event(4, None))]);
    assert_eq!(setting.hears().await, [3, 4]);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_outside_leads_to_the_log_at_once() {
    let mut setting = given().await;
    setting.store.add_events((3..=6).map(|position| event(position, None)));
    let began = Instant::now();
    setting.outside.tell(signal([5, 6]));
    assert_eq!(setting.hears().await, [3, 4, 5, 6]);
    assert!(began.elapsed() < POLL);
    // What comes again is not told again.
    setting.outside.tell(signal([3, 4]));
    setting.outside.tell(Signal::Missed);
    setting.store.add_events([event(7, None)]);
    assert_eq!(setting.hears().await, [7]);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_outside_and_not_in_the_log_is_shown_to_nobody() {
    let mut setting = given().await;
    // Forged, or from another installation: the very next position, and others.
    let mut forged = event(3, None);
    forged.data = daybook_events::EventData::of(&"forged");
    setting.outside.tell(Signal::Events(Arc::new([Arc::new(forged)])));
    setting.outside.tell(signal([3, 4, 9]));
    setting.outside.tell(signal([1_000]));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(setting.told(), Vec::<u64>::new());
    // The own event with that position is shown, as it is.
    setting.store.add_events([event(3, None)]);
    assert_eq!(setting.hears().await, [3]);
    let shown = setting.told.after(Position::new(2), 1, 1).unwrap();
    assert_eq!(shown.first().map(|event| (**event).clone()), Some(event(3, None)));
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_what_is_not_in_the_log_makes_no_flood_of_reads() {
    let reads = Arc::new(AtomicU64::new(0));
    let mut journal = MockJournal::new();
    let counted = Arc::clone(&reads);
    journal.expect_head().returning(|| Ok(Position::ZERO));
    journal.expect_read_within().returning(move |_: &EventFilter, _, _, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok(Vec::<RecordedEvent>::new())
    });
    let bus = Arc::new(FakeBus::new());
    let announcer =
        Announcer::new(Arc::new(journal), tail(8), tail(8), Some(Arc::clone(&bus) as _));
    tokio::spawn(announcer.run(CancellationToken::new()));
    for round in 0..1_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        bus.tell(signal([1_000 + round]));
    }
    // One for each pause in that second, and those of the poll.
    let reads = reads.load(Ordering::Relaxed);
    assert!((10..40).contains(&reads), "{reads}");
}

#[tokio::test(start_paused = true)]
async fn what_this_process_has_not_settled_is_told_when_it_is() {
    let mut setting = given().await;
    let own = event(4, None);
    setting.tail.take_in_hand([own.id].into_iter());
    setting.store.add_events([event(3, None), own.clone(), event(5, None)]);
    setting.outside.tell(signal([3]));
    assert_eq!(setting.hears().await, [3]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(setting.told(), Vec::<u64>::new());
    setting.tail.push(vec![Arc::new(own)]);
    setting.tail.nothing_in_hand();
    tokio::time::sleep(POLL).await;
    assert_eq!(setting.told(), [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn without_the_bus_the_log_is_enough() {
    let mut bus = MockEventBus::new();
    bus.expect_subscribe().returning(|| Err(daybook_events::BusError("unplugged".to_owned())));
    let (store, told) = (Arc::new(FakeStore::new()), tail(8));
    let announcer =
        Announcer::new(Arc::clone(&store) as _, tail(8), Arc::clone(&told), Some(Arc::new(bus)));
    tokio::spawn(announcer.run(CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.set_unreadable(true);
    store.add_events([event(1, None)]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    store.set_unreadable(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(told.after(Position::ZERO, 9, usize::MAX).unwrap().len(), 1);
}
