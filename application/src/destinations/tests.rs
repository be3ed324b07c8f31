//! What is handed on to the shared bus and cache, and to a queue.

use daybook_events::{
    BusError, CacheError, EventData, HolderId, MockCache, MockEventBus, MockTaskQueue,
    MockTaskRepository, Priority, StreamId, Task, TaskRetried, Timestamp,
};
use daybook_orders::MockOrderRepository;
use serde_json::value::to_raw_value;
use uuid::Uuid;

use super::*;
use crate::ReadCache;
use crate::fakes::{FakeClock, FakeStore, event, holder};

fn of(stream: StreamId, version: u64, owner: Option<HolderId>) -> Arc<RecordedEvent> {
    Arc::new(RecordedEvent { stream, version: Version::new(version), owner, ..event(1, None) })
}

fn reads(cache: MockCache) -> Reads {
    let ttl = std::time::Duration::from_secs(1);
    let cache = ReadCache { cache: Arc::new(cache), ttl, absent_ttl: ttl, repair: None };
    Reads::new(Arc::new(FakeStore::new()), Arc::new(MockOrderRepository::new()), Some(cache))
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_put_right_for_what_was_changed() {
    let id = Uuid::from_u128(3);
    let mut cache = MockCache::new();
    let key = format!("order:{id}:user:{}", holder(7));
    cache
        .expect_invalidate()
        .withf(move |asked, version| asked == key && *version == Version::new(2))
        .once()
        .returning(|_, _| Ok(()));
    let order = StreamId::new("order", id);
    let events = [
        of(order.clone(), 1, Some(holder(7))),
        of(order, 2, Some(holder(7))),
        of(StreamId::new("notification", "news"), 9, None),
    ];
    assert_eq!(CacheRepair::new(reads(cache)).take(&events).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_writer_has_its_time_and_a_backlog_none() {
    let order = || of(StreamId::new("order", Uuid::from_u128(3)), 2, Some(holder(7)));
    for (count, waits) in [(1, true), (BATCH, false)] {
        let mut cache = MockCache::new();
        cache.expect_invalidate().times(count).returning(|_, _| Ok(()));
        let events: Vec<_> = (0..count).map(|_| order()).collect();
        let began = tokio::time::Instant::now();
        assert_eq!(CacheRepair::new(reads(cache)).take(&events).await, Ok(()));
        assert_eq!(began.elapsed() >= WRITERS_TIME, waits);
    }
}

#[tokio::test]
async fn the_bus_is_told_of_everything() {
    let mut bus = MockEventBus::new();
    bus.expect_publish().withf(|events| events.len() == 2).once().returning(|_| Ok(()));
    let stream = StreamId::new("order", Uuid::nil());
    let events = [of(stream.clone(), 1, None), of(stream, 2, None)];
    assert_eq!(SharedBus::new(Arc::new(bus)).take(&events).await, Ok(()));
}

#[tokio::test]
async fn a_cache_or_a_bus_that_can_not_be_reached_is_told_of() {
    let order = of(StreamId::new("order", Uuid::nil()), 2, Some(holder(7)));
    let mut cache = MockCache::new();
    cache.expect_invalidate().returning(|_, _| Err(CacheError("unplugged".to_owned())));
    let repair = CacheRepair::new(reads(cache));
    assert!(repair.take(std::slice::from_ref(&order)).await.is_err());
    let mut bus = MockEventBus::new();
    bus.expect_publish().returning(|_| Err(BusError("unplugged".to_owned())));
    assert!(SharedBus::new(Arc::new(bus)).take(&[order]).await.is_err());
}

fn asked(number: u128, event: &TaskEvent) -> Arc<RecordedEvent> {
    let id = TaskId::from_uuid(Uuid::from_u128(number));
    Arc::new(RecordedEvent {
        stream: id.stream(),
        event_type: event.event_type().into(),
        data: event.data(),
        ..self::event(1, None)
    })
}

fn retried(number: u128) -> Arc<RecordedEvent> {
    let task_id = TaskId::from_uuid(Uuid::from_u128(number));
    asked(number, &TaskEvent::TaskRetried(TaskRetried { task_id }))
}

fn stored(number: u128, state: TaskState) -> Task {
    Task {
        id: TaskId::from_uuid(Uuid::from_u128(number)),
        owner: None,
        kind: daybook_events::TaskKind::text(),
        payload: to_raw_value("hello").unwrap(),
        state,
        attempts: 0,
        last_error: None,
        history: Vec::new(),
        priority: Priority::Normal,
        unique: None,
        run_at: daybook_events::Timestamp::from_micros(0),
        created_at: daybook_events::Timestamp::from_micros(0),
        finished_at: None,
        version: Version::new(1),
    }
}

#[tokio::test]
async fn tasks_are_put_on_the_queue_with_their_payloads_in_the_order_of_the_log() {
    let mut tasks = MockTaskRepository::new();
    tasks.expect_find_all().withf(|ids| ids.len() == 4).once().returning(|_| {
        let states = [(1, TaskState::Queued), (2, TaskState::Done), (3, TaskState::Queued)];
        Ok(states.into_iter().map(|(number, state)| stored(number, state)).collect())
    });
    let mut queue = MockTaskQueue::new();
    queue
        .expect_enqueue()
        .withf(|tasks| {
            tasks.iter().map(|t| t.id.uuid().as_u128()).eq([3, 1])
                && tasks.iter().all(|task| task.payload.get() == "\"hello\"")
        })
        .once()
        .returning(|_| Ok(()));
    let dispatch = dispatch(in_time(tasks), queue);
    let other = of(StreamId::new("order", 1), 1, None);
    let events = [retried(3), other, retried(2), retried(1), retried(3)];
    assert_eq!(dispatch.take(&events).await, Ok(()));
}

#[tokio::test]
async fn what_one_holder_asks_for_beyond_their_share_is_among_the_least_urgent() {
    let mut tasks = MockTaskRepository::new();
    tasks.expect_find_all().once().returning(|_| {
        let of = |number, owner| Task { owner, ..stored(number, TaskState::Queued) };
        let eves = (1..=10).map(|number| of(number, Some(holder(1))));
        // What is for later takes nobody's place.
        let later = Timestamp::from_micros(i64::MAX);
        let later = Task { run_at: later, ..of(13, Some(holder(1))) };
        Ok(eves.chain([of(11, Some(holder(2))), of(12, None), later]).collect())
    });
    // Thirty of the first holder's waited before; of the second's only this one.
    let count = |owners: &[HolderId], _: &[Priority], _, _| {
        Ok(owners.iter().map(|owner| if *owner == holder(1) { 40 } else { 1 }).collect())
    };
    tasks.expect_count_waiting().once().returning(count);
    let mut queue = MockTaskQueue::new();
    let are_in_their_lanes = |tasks: &[NewTask]| {
        let low = tasks.iter().filter(|task| task.priority == Priority::Low);
        tasks.len() == 13 && low.map(|task| task.id.uuid().as_u128()).eq(3..=10)
    };
    queue.expect_enqueue().withf(are_in_their_lanes).once().returning(|_| Ok(()));
    let dispatch = dispatch(in_time(tasks), queue);
    let events: Vec<_> = (1..=13).map(retried).collect();
    assert_eq!(dispatch.take(&events).await, Ok(()));
}

#[tokio::test]
async fn where_no_task_is_asked_for_nobody_is_asked() {
    let dispatch = dispatch(in_time(MockTaskRepository::new()), MockTaskQueue::new());
    let unreadable = Arc::new(RecordedEvent {
        data: EventData::of(&"nonsense"),
        ..RecordedEvent::clone(&retried(1))
    });
    let order = of(StreamId::new("order", 1), 1, None);
    assert_eq!(dispatch.take(&[order, unreadable]).await, Ok(()));
}

/// Nothing is overdue.
fn in_time(mut tasks: MockTaskRepository) -> MockTaskRepository {
    tasks.expect_count_overdue().returning(|_| Ok(0));
    tasks
}

fn dispatch(tasks: MockTaskRepository, queue: MockTaskQueue) -> TaskDispatch {
    let clock = Arc::new(FakeClock::at(daybook_events::Timestamp::from_micros(90_000_000)));
    TaskDispatch::new(Arc::new(tasks), Arc::new(queue), clock, Search::default())
}

/// A record and a queue that tell of so many overdue tasks and messages, and note what is put back.
fn overdue(
    overdue: u64,
    backlog: u64,
    put_back: &Arc<Mutex<Vec<u128>>>,
    searches: &Arc<Mutex<Vec<Overdue>>>,
) -> TaskDispatch {
    let (mut tasks, mut queue) = (MockTaskRepository::new(), MockTaskQueue::new());
    tasks.expect_count_overdue().returning(move |before| {
        assert_eq!(before.micros(), 30_000_000);
        Ok(overdue)
    });
    let (noted, asked) = (Arc::clone(put_back), Arc::clone(searches));
    tasks.expect_overdue().returning(move |search, limit| {
        asked.lock().unwrap().push(*search);
        let first = u128::try_from(noted.lock().unwrap().len()).unwrap();
        let numbers = first..u128::from(overdue).min(first + u128::from(limit));
        Ok(numbers.map(|number| stored(number, TaskState::Queued)).collect())
    });
    let noted = Arc::clone(put_back);
    tasks.expect_note_put_back().returning(move |ids, at| {
        assert_eq!(at.micros(), 90_000_000);
        noted.lock().unwrap().extend(ids.iter().map(|id| id.uuid().as_u128()));
        Ok(())
    });
    queue.expect_backlog().returning(move || Ok(backlog));
    queue.expect_enqueue().returning(|_| Ok(()));
    dispatch(tasks, queue)
}

#[tokio::test(start_paused = true)]
async fn as_many_are_put_back_at_once_as_surely_have_no_message() {
    for (late, backlog, expected) in
        [(0, 0, 0), (1, 0, 1), (1_200, 0, 1_200), (1_200, 300, 900), (1_200, 5_000, 500)]
    {
        let (put_back, searches) = <(Arc<Mutex<Vec<u128>>>, Arc<Mutex<Vec<Overdue>>>)>::default();
        let dispatch = overdue(late, backlog, &put_back, &searches);
        assert_eq!(dispatch.idle().await, Ok(()));
        assert_eq!(put_back.lock().unwrap().len(), expected, "{late} late, {backlog} waiting");
        // Where others wait, what was put back has to wait twice as long.
        let searches = searches.lock().unwrap();
        assert!(searches.iter().all(|search| search.doubled.is_some() == (backlog > 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_is_looked_for_at_once_and_then_not_too_often_also_under_load() {
    let (put_back, searches) = <(Arc<Mutex<Vec<u128>>>, Arc<Mutex<Vec<Overdue>>>)>::default();
    let dispatch = overdue(1, 0, &put_back, &searches);
    let busy = [of(StreamId::new("order", 1), 1, None)];
    for _ in 0..3 {
        assert_eq!(dispatch.take(&busy).await, Ok(()));
        assert_eq!(dispatch.idle().await, Ok(()));
    }
    assert_eq!(searches.lock().unwrap().len(), 1);
    put_back.lock().unwrap().clear();
    tokio::time::advance(Duration::from_secs(31)).await;
    assert_eq!(dispatch.take(&busy).await, Ok(()));
    assert_eq!(put_back.lock().unwrap().len(), 1);
}
