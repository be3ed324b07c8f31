//! What is forgotten while the clock stands, goes, and jumps.

use std::sync::Mutex;

use daybook_accounts::MockHolderRepository;
use daybook_events::{MockJournal, MockTaskRepository};

use super::*;
use crate::fakes::{FakeClock, event};

const DAY: Duration = Duration::from_hours(24);
const START: Timestamp = Timestamp::from_micros(1_795_392_000_000_000);

type Instants = Arc<Mutex<Vec<Timestamp>>>;

/// A housekeeper that keeps everything for a day, its clock, and what it was told to forget before:
/// outcomes, tasks and sessions. The last event is from `last`.
fn housekeeper(last: Timestamp) -> (Housekeeper, Arc<FakeClock>, [Instants; 3]) {
    let asked: [Instants; 3] = Default::default();
    let [outcomes, done, sessions] = asked.clone();
    let mut journal = MockJournal::new();
    journal.expect_head().returning(|| Ok(Position::new(7)));
    journal.expect_read().returning(move |_, after, _| {
        assert_eq!(after, Position::new(6));
        Ok(vec![daybook_events::RecordedEvent { timestamp: last, ..event(7, None) }])
    });
    journal.expect_forget_outcomes().returning(move |before, _| {
        outcomes.lock().unwrap().push(before);
        Ok(0)
    });
    let mut tasks = MockTaskRepository::new();
    tasks.expect_forget_done().returning(move |before, _| {
        done.lock().unwrap().push(before);
        Ok(0)
    });
    let mut holders = MockHolderRepository::new();
    holders.expect_forget_ended_sessions().returning(move |before, _| {
        sessions.lock().unwrap().push(before);
        Ok(0)
    });
    let clock = Arc::new(FakeClock::at(START));
    let (journal, tasks, holders) = (Arc::new(journal), Arc::new(tasks), Arc::new(holders));
    (Housekeeper::new(journal, tasks, holders, clock.clone(), DAY, DAY), clock, asked)
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_ahead_makes_nothing_old() {
    let (housekeeper, clock, asked) = housekeeper(START);
    let stop = CancellationToken::new();
    let running = tokio::spawn(housekeeper.run(stop.clone()));
    tokio::time::sleep(EVERY / 2).await;
    clock.set(START.plus(2 * DAY));
    tokio::time::sleep(EVERY).await;
    // Nor does one that is behind, where something is asked for at that time.
    clock.set(START.minus(2 * DAY));
    tokio::time::sleep(EVERY).await;
    stop.cancel();
    running.await.unwrap();
    for before in asked {
        assert_eq!(*before.lock().unwrap(), [START.plus(EVERY).minus(DAY), START.minus(3 * DAY)]);
    }
}

#[tokio::test(start_paused = true)]
async fn nor_does_one_that_jumped_before_the_start() {
    let last = START.minus(2 * DAY);
    let (housekeeper, _, asked) = housekeeper(last);
    housekeeper.sweep().await.unwrap();
    for before in asked {
        assert_eq!(*before.lock().unwrap(), [last.minus(DAY)]);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_become_old_is_forgotten() {
    let (housekeeper, clock, asked) = housekeeper(START);
    let stop = CancellationToken::new();
    tokio::spawn(housekeeper.run(stop.clone()));
    tokio::time::sleep(EVERY / 2).await;
    for hours in 1..=30 {
        tokio::time::sleep(Duration::from_hours(1)).await;
        clock.set(START.plus(Duration::from_hours(hours)));
    }
    let latest = *asked[0].lock().unwrap().last().unwrap();
    assert!(latest > START, "{latest}");
    stop.cancel();
}
