//! What a subscriber gets, whatever the bus tells it and whenever.

use daybook_events::{MockEventBus, StreamId};
use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;
use crate::fakes::{FakeBus, FakeStore, event, holder, soon};

struct Setting {
    store: Arc<FakeStore>,
    bus: Arc<FakeBus>,
    feed: Feed,
}

impl Setting {
    /// A log of events nobody owns, up to this position.
    fn new(head: u64) -> Self {
        let (store, bus) = (Arc::new(FakeStore::new()), Arc::new(FakeBus::new()));
        store.add_events((1..=head).map(|position| event(position, None)));
        let feed = Feed::new(Arc::clone(&store) as _, Arc::clone(&bus) as _);
        Self { store, bus, feed }
    }

    fn commit(&self, position: u64) {
        self.store.add_events([event(position, None)]);
    }

    /// The bus tells of the events at these positions.
    fn tell(&self, positions: impl IntoIterator<Item = u64>) {
        let positions: Vec<_> = positions.into_iter().collect();
        let events = self.store.events().into_iter();
        let told = events.filter(|e| positions.contains(&e.position.get())).map(Arc::new);
        self.bus.tell(Signal::Events(told.collect()));
    }

    async fn follow(&self, filter: EventFilter, after: Option<u64>) -> FeedStream {
        self.feed.follow(filter, after.map(Position::new)).await.unwrap()
    }
}

/// The positions of the next `count` events.
async fn next(stream: &mut FeedStream, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    for _ in 0..count {
        match soon(stream.next()).await.unwrap() {
            FeedItem::Event(event) => positions.push(event.position.get()),
            FeedItem::Reset { head } => panic!("reset to {head}"),
        }
    }
    positions
}

fn assert_quiet(stream: &mut FeedStream) {
    let item = stream.next().now_or_never();
    assert!(item.is_none(), "{item:?}");
}

#[tokio::test]
async fn what_is_stored_comes_first_and_then_what_is_new() {
    let setting = Setting::new(3);
    let mut stream = setting.follow(EventFilter::All, Some(1)).await;
    assert_eq!(next(&mut stream, 2).await, [2, 3]);
    assert_quiet(&mut stream);
    setting.commit(4);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 1).await, [4]);
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn without_a_position_only_what_is_new_comes() {
    let setting = Setting::new(3);
    let mut stream = setting.follow(EventFilter::All, None).await;
    assert_quiet(&mut stream);
    setting.commit(4);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 1).await, [4]);
}

#[tokio::test]
async fn what_is_heard_while_stored_events_are_read_comes_once() {
    let setting = Setting::new(2);
    let mut stream = setting.follow(EventFilter::All, Some(0)).await;
    setting.commit(3);
    setting.commit(4);
    setting.tell([2, 3]);
    setting.tell([3, 4]);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 4).await, [1, 2, 3, 4]);
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn what_is_committed_until_the_bus_is_heard_is_not_missed() {
    let setting = Setting::new(3);
    let mut bus = MockEventBus::new();
    let store = Arc::clone(&setting.store);
    bus.expect_subscribe().returning(move || {
        store.add_events([event(4, None)]);
        Ok(Box::pin(stream::pending()))
    });
    let feed = Feed::new(Arc::clone(&setting.store) as _, Arc::new(bus));
    let mut stream = feed.follow(EventFilter::All, Some(Position::new(3))).await.unwrap();
    assert_eq!(next(&mut stream, 1).await, [4]);
}

#[tokio::test]
async fn what_the_bus_missed_is_filled_from_the_journal() {
    let setting = Setting::new(1);
    let mut stream = setting.follow(EventFilter::All, None).await;
    setting.commit(2);
    setting.commit(3);
    setting.bus.tell(Signal::Missed);
    assert_eq!(next(&mut stream, 2).await, [2, 3]);
    assert_quiet(&mut stream);
    setting.commit(4);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 1).await, [4]);
}

#[tokio::test]
async fn a_gap_in_what_the_bus_tells_is_filled_from_the_journal() {
    let setting = Setting::new(1);
    let mut stream = setting.follow(EventFilter::All, None).await;
    for position in 2..=5 {
        setting.commit(position);
    }
    setting.tell([4, 5]);
    assert_eq!(next(&mut stream, 4).await, [2, 3, 4, 5]);
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn a_slow_subscriber_gets_everything_all_the_same() {
    let setting = Setting::new(0);
    let mut stream = setting.follow(EventFilter::All, None).await;
    // Far more than the bus keeps.
    for position in 1..=3_000 {
        setting.commit(position);
        setting.bus.tell(Signal::Events(Arc::new([Arc::new(event(position, None))])));
    }
    assert_eq!(next(&mut stream, 3_000).await, (1..=3_000).collect::<Vec<_>>());
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn more_than_one_page_is_read() {
    for head in [u64::from(PAGE) - 1, PAGE.into(), 2 * u64::from(PAGE) + 1] {
        let setting = Setting::new(head);
        let mut stream = setting.follow(EventFilter::All, Some(0)).await;
        let count = usize::try_from(head).unwrap();
        assert_eq!(next(&mut stream, count).await, (1..=head).collect::<Vec<_>>());
        assert_quiet(&mut stream);
        setting.commit(head + 1);
        setting.tell([head + 1]);
        assert_eq!(next(&mut stream, 1).await, [head + 1]);
    }
}

#[tokio::test]
async fn only_the_owners_events_come_stored_or_live() {
    let setting = Setting::new(0);
    let (mine, anothers) = (Some(holder(7)), Some(holder(8)));
    setting.store.add_events([event(1, mine), event(2, anothers), event(3, None), event(4, mine)]);
    let mut stream = setting.follow(EventFilter::Owner(holder(7)), Some(0)).await;
    assert_eq!(next(&mut stream, 2).await, [1, 4]);
    setting.store.add_events([event(5, anothers), event(6, mine), event(7, None)]);
    setting.tell([5, 6, 7]);
    assert_eq!(next(&mut stream, 1).await, [6]);
    assert_quiet(&mut stream);
    // What was passed over does not count as a gap, nor is it forgotten that it was passed.
    setting.store.add_events([event(8, mine)]);
    setting.store.set_unreadable(true);
    setting.tell([8]);
    assert_eq!(next(&mut stream, 1).await, [8]);
}

#[tokio::test]
async fn only_the_streams_events_come_stored_or_live() {
    let setting = Setting::new(4);
    let even = EventFilter::Stream(StreamId::new("order", 0));
    let mut stream = setting.follow(even, Some(0)).await;
    assert_eq!(next(&mut stream, 2).await, [2, 4]);
    setting.commit(5);
    setting.commit(6);
    setting.tell([5, 6]);
    assert_eq!(next(&mut stream, 1).await, [6]);
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn a_position_that_is_not_in_this_log_is_reset_and_goes_on_from_its_end() {
    let setting = Setting::new(3);
    let mut stream = setting.follow(EventFilter::All, Some(9)).await;
    let first = soon(stream.next()).await.unwrap();
    assert!(matches!(first, FeedItem::Reset { head } if head == Position::new(3)), "{first:?}");
    assert_quiet(&mut stream);
    setting.commit(4);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 1).await, [4]);
}

#[tokio::test]
async fn the_stream_ends_with_the_bus_and_after_what_is_stored() {
    let Setting { store, bus, feed } = Setting::new(2);
    let mut stream = feed.follow(EventFilter::All, Some(Position::ZERO)).await.unwrap();
    drop((bus, feed));
    assert_eq!(next(&mut stream, 2).await, [1, 2]);
    assert!(soon(stream.next()).await.is_none());
    drop(store);
}

#[tokio::test]
async fn the_stream_ends_where_the_journal_can_not_fill_a_gap() {
    let setting = Setting::new(1);
    let mut stream = setting.follow(EventFilter::All, None).await;
    setting.store.set_unreadable(true);
    setting.bus.tell(Signal::Missed);
    assert!(soon(stream.next()).await.is_none());
    let refused = setting.feed.follow(EventFilter::All, None).await;
    assert!(matches!(refused.map(drop), Err(QueryError::Unavailable(_))));
}

/// What may happen around a subscriber.
#[derive(Clone, Debug)]
enum Step {
    /// An event is committed; whether it is the subscriber's.
    Commit(bool),
    /// The bus tells of everything it has not told of yet.
    Tell,
    /// The bus tells of the last so many events, told of already or not.
    TellAgain(u64),
    /// The bus loses what it has not told of yet, and says so or not.
    Lose(bool),
    /// The subscriber listens, for so many events at most.
    Listen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Commit),
        2 => Just(Step::Tell),
        1 => (1_u64..5).prop_map(Step::TellAgain),
        1 => any::<bool>().prop_map(Step::Lose),
        2 => (1_usize..4).prop_map(Step::Listen),
    ]
}

/// Every event of the subscriber's after `after`, in order, each once: whatever the steps.
async fn follows_without_a_gap(before: u64, after: u64, steps: Vec<Step>) -> (Vec<u64>, Vec<u64>) {
    let setting = Setting::new(0);
    setting.store.add_events((1..=before).map(|position| event(position, Some(holder(7)))));
    let mut stream = setting.follow(EventFilter::Owner(holder(7)), Some(after)).await;
    let (mut head, mut told, mut got) = (before, before, Vec::new());
    for step in steps {
        match step {
            Step::Commit(mine) => {
                head += 1;
                let owner = if mine { holder(7) } else { holder(8) };
                setting.store.add_events([event(head, Some(owner))]);
            }
            Step::Tell if told < head => {
                setting.tell(told + 1..=head);
                told = head;
            }
            Step::Tell => {}
            Step::TellAgain(count) => setting.tell(head.saturating_sub(count) + 1..=head),
            Step::Lose(said) => {
                told = head;
                if said {
                    setting.bus.tell(Signal::Missed);
                }
            }
            Step::Listen(count) => {
                for _ in 0..count {
                    let Some(Some(item)) = stream.next().now_or_never() else { break };
                    got.push(item);
                }
            }
        }
    }
    // One more event, of which the bus tells: by then nothing may be missing.
    setting.store.add_events([event(head + 1, Some(holder(7)))]);
    setting.tell([head + 1]);
    while let Some(Some(item)) = stream.next().now_or_never() {
        got.push(item);
    }
    let got = got.into_iter().map(|item| match item {
        FeedItem::Event(event) => event.position.get(),
        FeedItem::Reset { head } => panic!("reset to {head}"),
    });
    let mine = setting.store.events().into_iter().filter(|e| e.owner == Some(holder(7)));
    let due = mine.map(|e| e.position.get()).filter(|position| *position > after);
    (got.collect(), due.collect())
}

proptest! {
    #[test]
    fn nothing_is_missing_doubled_or_out_of_order(
        before in 0_u64..4,
        after in 0_u64..4,
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (got, due) =
            runtime.block_on(follows_without_a_gap(before, after.min(before), steps));
        prop_assert_eq!(got, due);
    }
}
