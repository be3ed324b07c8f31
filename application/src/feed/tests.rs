//! What a subscriber gets, whatever the announcer tells of and whenever.

use std::time::Duration;

use daybook_events::{EventData, StreamId};
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;

use super::*;
use crate::fakes::{FakeStore, event, holder, soon, tail};
use crate::stream_room::PAGE_BYTES;

/// How many events are kept of what was told.
const KEPT: usize = 8;

struct Setting {
    store: Arc<FakeStore>,
    told: Arc<Tail>,
    feed: Feed,
    room: StreamRoom,
}

impl Setting {
    /// A log of events nobody owns, up to this position, all of which the announcer has told of.
    fn new(head: u64) -> Self {
        Self::with_room(head, 1 << 20)
    }

    fn with_room(head: u64, room: usize) -> Self {
        let (store, told) = (Arc::new(FakeStore::new()), tail(KEPT));
        store.add_events((1..=head).map(|position| event(position, None)));
        told.begin_at(Position::new(head));
        let room = StreamRoom::new(room);
        let feed = Feed::new(Arc::clone(&store) as _, Arc::clone(&told), room.clone());
        Self { store, told, feed, room }
    }

    fn commit(&self, position: u64) {
        self.store.add_events([event(position, None)]);
    }

    /// The announcer tells of the events at these positions.
    fn tell(&self, positions: impl IntoIterator<Item = u64>) {
        let positions: Vec<_> = positions.into_iter().collect();
        let events = self.store.events().into_iter();
        let told = events.filter(|e| positions.contains(&e.position.get())).map(Arc::new);
        self.told.push(told.collect());
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
            FeedItem::Event(event, _) => positions.push(event.position.get()),
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
async fn what_is_told_while_stored_events_are_read_comes_once() {
    let setting = Setting::new(2);
    let mut stream = setting.follow(EventFilter::All, Some(0)).await;
    setting.commit(3);
    setting.commit(4);
    setting.tell([3]);
    setting.tell([4]);
    assert_eq!(next(&mut stream, 4).await, [1, 2, 3, 4]);
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn what_is_committed_is_not_shown_before_it_is_told_of() {
    let setting = Setting::new(1);
    let mut stored = setting.follow(EventFilter::All, Some(0)).await;
    let mut live = setting.follow(EventFilter::All, None).await;
    setting.commit(2);
    assert_eq!(next(&mut stored, 1).await, [1]);
    assert_quiet(&mut stored);
    assert_quiet(&mut live);
    setting.tell([2]);
    assert_eq!(next(&mut stored, 1).await, [2]);
    assert_eq!(next(&mut live, 1).await, [2]);
}

#[tokio::test]
async fn what_is_no_longer_in_memory_is_read_from_the_journal() {
    let setting = Setting::new(0);
    let mut stream = setting.follow(EventFilter::All, None).await;
    for position in 1..=3_000 {
        setting.commit(position);
        setting.tell([position]);
    }
    assert_eq!(next(&mut stream, 3_000).await, (1..=3_000).collect::<Vec<_>>());
    assert_quiet(&mut stream);
}

#[tokio::test]
async fn what_is_in_memory_is_not_read_from_the_journal() {
    let setting = Setting::new(1);
    let mut stream = setting.follow(EventFilter::All, None).await;
    setting.store.add_events((2..=4).map(|position| event(position, None)));
    setting.tell(2..=4);
    setting.store.set_unreadable(true);
    assert_eq!(next(&mut stream, 3).await, [2, 3, 4]);
}

fn large(position: u64) -> RecordedEvent {
    RecordedEvent { data: EventData::of(&"x".repeat(32 * 1024)), ..event(position, None) }
}

#[tokio::test]
async fn what_is_on_its_way_to_all_is_bounded_in_bytes() {
    let setting = Setting::with_room(0, 4 * 64 * 1024);
    setting.store.add_events((1..=100).map(large));
    setting.told.begin_at(Position::new(100));
    let (mut streams, mut held) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let mut stream = setting.follow(EventFilter::All, Some(0)).await;
        // Its socket takes nothing: the item stays where it is.
        held.extend(stream.next().now_or_never());
        streams.push(stream);
    }
    let bytes: usize = held.iter().flatten().map(size).sum();
    assert!((3 * 32 * 1024..=4 * 64 * 1024).contains(&bytes), "{bytes}");
    assert!(setting.room.is_short());
    // Whoever goes away gives back what it has, and the others go on, each without a gap.
    held.clear();
    let readers: Vec<_> = streams
        .into_iter()
        .map(|mut stream| tokio::spawn(async move { next(&mut stream, 4).await }))
        .collect();
    for reader in readers {
        let seen = soon(reader).await.unwrap();
        assert!(seen.first() <= Some(&2) && seen.is_sorted_by(|a, b| a + 1 == *b), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_room_is_known() {
    let setting = Setting::with_room(0, usize::try_from(PAGE_BYTES).unwrap());
    setting.store.add_events((1..=3).map(large));
    setting.told.begin_at(Position::new(3));
    let mut first = setting.follow(EventFilter::All, Some(0)).await;
    let held = soon(first.next()).await;
    let mut second = setting.follow(EventFilter::All, Some(0)).await;
    let waiting = tokio::spawn(async move { next(&mut second, 3).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(setting.room.is_short());
    drop((held, first));
    assert_eq!(soon(waiting).await.unwrap(), [1, 2, 3]);
    assert!(!setting.room.is_short());
}

fn size(item: &FeedItem) -> usize {
    match item {
        FeedItem::Event(event, _) => event.size(),
        FeedItem::Reset { .. } => 0,
    }
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
    setting.tell(1..=4);
    let mut stream = setting.follow(EventFilter::Owner(holder(7)), Some(0)).await;
    assert_eq!(next(&mut stream, 2).await, [1, 4]);
    setting.store.add_events([event(5, anothers), event(6, mine), event(7, None)]);
    setting.tell([5, 6, 7]);
    assert_eq!(next(&mut stream, 1).await, [6]);
    assert_quiet(&mut stream);
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
async fn the_stream_ends_where_the_journal_can_not_fill_a_gap() {
    let setting = Setting::new(1);
    let mut stream = setting.follow(EventFilter::All, None).await;
    setting.store.set_unreadable(true);
    setting.told.begin_at(Position::new(2));
    assert!(soon(stream.next()).await.is_none());
    let refused = setting.feed.follow(EventFilter::All, None).await;
    assert!(matches!(refused.map(drop), Err(QueryError::Unavailable(_))));
}

/// What may happen around a subscriber.
#[derive(Clone, Debug)]
enum Step {
    /// An event is committed; whether it is the subscriber's.
    Commit(bool),
    /// The announcer tells of everything it has not told of yet.
    Tell,
    /// It tells of that, and memory is as if it were new.
    Forget,
    /// The subscriber listens, for so many events at most.
    Listen(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(Step::Commit),
        2 => Just(Step::Tell),
        1 => Just(Step::Forget),
        2 => (1_usize..4).prop_map(Step::Listen),
    ]
}

/// Every event of the subscriber's after `after`, in order, each once: whatever the steps.
async fn follows_without_a_gap(before: u64, after: u64, steps: Vec<Step>) -> (Vec<u64>, Vec<u64>) {
    let setting = Setting::new(0);
    setting.store.add_events((1..=before).map(|position| event(position, Some(holder(7)))));
    setting.told.begin_at(Position::new(before));
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
            Step::Forget => {
                told = head;
                setting.told.begin_at(Position::new(head));
            }
            Step::Listen(count) => {
                for _ in 0..count {
                    let Some(Some(item)) = stream.next().now_or_never() else { break };
                    got.push(item);
                }
            }
        }
    }
    // One more event, which is told of: by then nothing may be missing.
    setting.store.add_events([event(head + 1, Some(holder(7)))]);
    setting.tell(told + 1..=head + 1);
    while let Some(Some(item)) = stream.next().now_or_never() {
        got.push(item);
    }
    let got = got.into_iter().map(|item| match item {
        FeedItem::Event(event, _) => event.position.get(),
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
