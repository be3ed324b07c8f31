//! A worker's right to a task: kept while the work goes on, and what could not be noted under it.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_in_time_for_as_long_as_the_work_goes_on() {
    let work = Work::new(SETTINGS.lease * 3, Ok(()));
    let began = Instant::now();
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    let settled = setting.queue.settled.subscribe().wait_for(|all| !all.is_empty()).await.is_ok();
    assert!(settled);
    let mut last = began;
    for at in setting.queue.extended.lock().unwrap().iter() {
        assert!(*at - last < SETTINGS.lease / 2, "{:?}", *at - last);
        last = *at;
    }
    assert!(last.elapsed() < SETTINGS.lease / 2);
    assert_eq!(setting.queue.settled_so_far(), [Settled::Completed(task(1))]);
    // Afterwards nobody renews it any more.
    let renewed = setting.queue.extended.lock().unwrap().len();
    sleep(SETTINGS.lease * 2).await;
    assert_eq!(setting.queue.extended.lock().unwrap().len(), renewed);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn work_on_a_lost_lease_is_dropped_and_nothing_is_settled() {
    let work = Work::new(SETTINGS.lease * 2, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND).await;
    setting.queue.lost.store(true, Ordering::Relaxed);
    sleep(SETTINGS.lease).await;
    assert_eq!(setting.queue.extended.lock().unwrap().len(), 1);
    // The worker has its hands free for another.
    setting.queue.lost.store(false, Ordering::Relaxed);
    sleep(SETTINGS.lease * 2).await;
    assert_eq!((work.begun(), work.ended()), (1, 0));
    assert_eq!(setting.queue.asked.load(Ordering::Relaxed), 0);
    assert_eq!(setting.stop().await, Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_does_not_end_the_work() {
    let work = Work::new(SETTINGS.lease, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND).await;
    setting.queue.set_down(true);
    sleep(SETTINGS.lease / 2).await;
    setting.queue.set_down(false);
    assert_eq!(setting.queue.settled(1).await, [Settled::Completed(task(1))]);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_noted_is_noted_soon_after_and_not_done_again() {
    let failed = || Err(TaskFailure::Retry("too busy".to_owned()));
    for (attempt, result) in [(1, Ok(())), (1, failed()), (SETTINGS.retry.attempts, failed())] {
        let work = Work::new(SECOND, result);
        let setting = Setting::new(&work, [lease(1, "work", attempt)]);
        sleep(SECOND / 2).await;
        setting.queue.set_down(true);
        sleep(10 * SECOND).await;
        assert!(setting.queue.asked.load(Ordering::Relaxed) > 1);
        setting.queue.set_down(false);
        let back = Instant::now();
        assert_eq!(setting.queue.settled(1).await.len(), 1);
        assert!(back.elapsed() <= SECOND);
        sleep(SETTINGS.lease).await;
        assert_eq!((work.begun(), setting.queue.settled_so_far().len()), (1, 1));
        setting.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_could_not_be_settled_holds_up_nothing() {
    let work = Work::new(SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND / 2).await;
    setting.queue.set_down(true);
    // Another has it by now.
    sleep(SETTINGS.lease * 2).await;
    setting.queue.put(lease(2, "work", 1));
    setting.queue.set_down(false);
    assert_eq!(setting.queue.settled(1).await, [Settled::Completed(task(2))]);
    setting.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_to_stop_does_not_wait_for_what_can_not_be_noted() {
    let work = Work::new(SECOND, Ok(()));
    let setting = Setting::new(&work, [lease(1, "work", 1)]);
    sleep(SECOND / 2).await;
    setting.queue.set_down(true);
    sleep(SECOND).await;
    assert_eq!(setting.stop().await, SETTINGS.grace);
}
