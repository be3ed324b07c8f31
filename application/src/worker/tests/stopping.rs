//! A worker that has to stop.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_to_stop_finishes_what_it_has_in_hand_and_takes_no_more() {
    let work = Work::new(10 * SECOND, Ok(()));
    let setting = Setting::new(&work, (1..=3).map(|number| lease(number, "work", 1)));
    sleep(SECOND).await;
    let queue = Arc::clone(&setting.queue);
    assert_eq!(setting.stop().await, 9 * SECOND);
    let done = [Settled::Completed(task(1)), Settled::Completed(task(2))];
    assert_eq!(queue.settled_so_far(), done);
    assert_eq!(work.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_takes_too_long_when_the_worker_has_to_stop_goes_back() {
    let work = Work::new(Duration::from_hours(1), Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND).await;
    let queue = Arc::clone(&setting.queue);
    assert_eq!(setting.stop().await, SETTINGS.grace);
    assert_eq!(queue.settled_so_far(), [Settled::Released(task(1))]);
    assert_eq!(work.ended(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_out_while_the_worker_stops_goes_back_at_once_and_is_not_begun() {
    let (work, taken) = (Work::new(10 * SECOND, Ok(())), CancellationToken::new());
    let leases = [lease(1, "work", 1), lease(2, "work", 1)];
    let setting = Setting::with(&work, leases, SETTINGS, Some(taken.clone()));
    sleep(SECOND).await;
    setting.stop.cancel();
    taken.cancel();
    let queue = Arc::clone(&setting.queue);
    assert_eq!(setting.stop().await, Duration::ZERO);
    let back = queue.settled_so_far();
    assert!(back.contains(&Settled::Released(task(1))), "{back:?}");
    assert!(back.contains(&Settled::Released(task(2))), "{back:?}");
    assert_eq!((work.begun(), queue.withdrawn.load(Ordering::Relaxed)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_to_stop_withdraws_before_it_finishes() {
    let work = Work::new(10 * SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND).await;
    setting.stop.cancel();
    sleep(SECOND).await;
    let withdrawn = setting.queue.withdrawn.load(Ordering::Relaxed);
    assert_eq!((withdrawn, setting.queue.settled_so_far()), (1, vec![]));
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_worker_stops_at_once_also_when_the_queue_is_down() {
    let work = Work::new(SECOND, Ok(()));
    for down in [false, true] {
        let setting = Setting::new(&work, []);
        setting.queue.set_down(down);
        sleep(SECOND).await;
        assert_eq!(setting.stop().await, Duration::ZERO, "down: {down}");
    }
}
