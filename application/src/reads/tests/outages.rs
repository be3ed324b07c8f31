//! A cache that was out of reach.

use super::*;

const RELAY: &str = "cache";

/// A process that has been there for a while, with `account` in the cache.
async fn trusting(account: &Account, store: &Arc<FakeStore>) -> Setting {
    let repair = Repair { journal: Arc::clone(store) as _, relay: RELAY, forks: None };
    let setting = given_with(account.clone(), 9_999, Some(repair));
    setting.read(account.id).await;
    long_after().await;
    setting.read(account.id).await;
    setting.accounts.finds.store(1, Ordering::Relaxed);
    setting
}

/// `account` is cached, and after that was renamed; the cache was out of reach and is back, with
/// the relay that tells it not so far.
async fn after_an_outage(account: &Account) -> (Setting, Arc<FakeStore>) {
    let store = Arc::new(FakeStore::new());
    let setting = trusting(account, &store).await;
    setting.accounts.set(renamed(account, "Savings"));
    store.add_events([event(1, None)]);
    setting.cache.has_been_out_of_reach();
    (setting, store)
}

async fn long_after() {
    tokio::time::sleep(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_cache_is_not_believed_before_the_relay_has_told_it_everything() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    for _ in 0..3 {
        assert!(setting.read(id).await.unwrap().contains("Savings"));
        long_after().await;
    }
    assert_eq!(setting.accounts.finds(), 4);

    // What the relay does.
    setting.reads.account_written(&renamed(&account, "Savings")).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    long_after().await;
    for _ in 0..3 {
        assert!(setting.read(id).await.unwrap().contains("Savings"));
    }
    assert_eq!(setting.accounts.finds(), 4, "the cache is believed again");
}

#[tokio::test(start_paused = true)]
async fn an_outage_while_the_last_is_overcome_begins_it_anew() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    setting.read(id).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        setting.cache.has_been_out_of_reach();
        setting.read(id).await;
    }
    assert_eq!(setting.accounts.finds(), 7);
    long_after().await;
    setting.read(id).await;
    assert_eq!(setting.accounts.finds(), 7);
}

#[tokio::test(start_paused = true)]
async fn others_have_time_to_come_back_to_the_cache_after_it_was_reached_again() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    setting.cache.down.store(true, Ordering::Relaxed);
    setting.read(id).await;
    tokio::time::sleep(Duration::from_secs(62)).await;
    setting.cache.down.store(false, Ordering::Relaxed);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(setting.read(id).await.unwrap().contains("Savings"));
    }
    assert_eq!(setting.accounts.finds(), 5);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_can_not_be_read_the_cache_is_not_believed() {
    let (account, id) = mine();
    let (setting, store) = after_an_outage(&account).await;
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    store.set_unreadable(true);
    setting.read(id).await;
    long_after().await;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), 3);
    store.set_unreadable(false);
    long_after().await;
    setting.read(id).await;
    assert_eq!(setting.accounts.finds(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_begins_while_the_cache_is_asked_makes_its_answer_void() {
    let (account, id) = mine();
    let store = Arc::new(FakeStore::new());
    let setting = trusting(&account, &store).await;
    setting.accounts.set(renamed(&account, "Savings"));
    setting.cache.out_of_reach_when_asked.store(true, Ordering::Relaxed);
    assert!(setting.read(id).await.unwrap().contains("Savings"));
}

#[tokio::test(start_paused = true)]
async fn what_is_read_past_the_cache_is_told_to_it() {
    let (account, id) = mine();
    let (setting, _store) = after_an_outage(&account).await;
    let before = setting.cache.entry(What::Account(id, holder(7))).unwrap().0;
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    // Another instance, which has seen no outage, reads it from the cache.
    let now = setting.cache.entry(What::Account(id, holder(7))).unwrap().0;
    assert_eq!((before.version, now.version), (account.version, account.version.next()));
}

#[tokio::test(start_paused = true)]
async fn at_the_start_the_cache_is_not_believed_before_the_relay_has_told_it_everything() {
    let (account, id) = mine();
    let store = Arc::new(FakeStore::new());
    let mut setting = trusting(&account, &store).await;
    // It ends after a commit and before it tells of it, and another begins.
    setting.accounts.set(renamed(&account, "Savings"));
    store.add_events([event(1, None)]);
    let orders = Arc::new(MockOrderRepository::new());
    let cache = setting.reads.cache.clone();
    setting.reads = Reads::new(Arc::clone(&setting.accounts) as _, orders, cache);
    for _ in 0..3 {
        assert!(setting.read(id).await.unwrap().contains("Savings"));
        long_after().await;
    }
    store.save_checkpoint(RELAY, Position::new(1)).await.unwrap();
    long_after().await;
    let finds = setting.accounts.finds();
    assert!(setting.read(id).await.unwrap().contains("Savings"));
    assert_eq!(setting.accounts.finds(), finds, "the cache is believed");
}

#[tokio::test(start_paused = true)]
async fn past_the_cache_one_read_serves_all_who_wait_for_it() {
    let (account, id) = mine();
    let (setting, _store) = after_an_outage(&account).await;
    setting.accounts.gate.forget_permits(usize::MAX);
    let readers: Vec<_> = (0..64).map(|_| setting.begin(id)).collect();
    setting.accounts.asked(2).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setting.accounts.finds(), 2, "one is under way");
    setting.accounts.gate.add_permits(64);
    for reader in readers {
        assert!(soon(reader).await.unwrap().unwrap().contains("Savings"));
    }
    // The first was under way when the others came: it may not have seen what they must see.
    assert_eq!(setting.accounts.finds(), 3);
    setting.read(id).await;
    assert_eq!(setting.accounts.finds(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_read_past_the_cache_that_fails_fails_for_those_who_wait_and_no_longer() {
    let (account, id) = mine();
    let (setting, _store) = after_an_outage(&account).await;
    for mood in [Mood::Failing, Mood::Panicking] {
        setting.accounts.set_mood(mood);
        setting.accounts.gate.forget_permits(usize::MAX);
        let before = setting.accounts.finds();
        let begin = || {
            let reads = setting.reads.clone();
            tokio::spawn(async move { reads.account(&caller(7), id).await })
        };
        let first = begin();
        setting.accounts.asked(before + 1).await;
        let readers = [begin(), begin()];
        tokio::task::yield_now().await;
        setting.accounts.gate.add_permits(9);
        for reader in [first].into_iter().chain(readers) {
            assert!(soon(reader).await.unwrap().is_err(), "{mood:?}");
        }
        setting.accounts.set_mood(Mood::Fine);
        assert!(setting.read(id).await.is_some());
    }
}
