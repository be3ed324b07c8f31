//! `daybook rebuild`: the read models are what the log says again, also while commands go on, and
//! whoever kills it has changed nothing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use crate::support::{Client, Ended, Folder, Server};
use crate::verify::{assert_clean, lived_in, verify};

/// What can be wrong with read models, and how many rows that is.
const FAULTS: [(&str, &str); 9] = [
    ("UPDATE accounts SET balance = balance + 1, version = version + 7", "1 accounts, 0 orders"),
    ("UPDATE accounts SET name = 'Other', open = false", "1 accounts, 0 orders"),
    ("UPDATE accounts SET id = (SELECT id FROM orders LIMIT 1)", "2 accounts, 0 orders"),
    ("DELETE FROM accounts", "1 accounts, 0 orders"),
    ("UPDATE orders SET status = 'PENDING', paid = false", "0 accounts, 2 orders"),
    ("DELETE FROM orders", "0 accounts, 2 orders"),
    ("DELETE FROM postings", "0 accounts, 0 orders"),
    ("UPDATE postings SET position = position + 1000", "0 accounts, 0 orders"),
    ("UPDATE postings SET amount = 2 * amount, reference = 'x'", "0 accounts, 0 orders"),
];

fn rebuild(folder: &Folder) -> Ended {
    folder.start(&["rebuild"]).ended()
}

#[test]
fn whatever_is_wrong_with_a_read_model_is_mended() {
    let folder = lived_in();
    for (fault, replaced) in FAULTS {
        folder.engines().execute(fault);
        assert_eq!(verify(&folder).status.code(), Some(1), "{fault}");
        let ended = rebuild(&folder);
        assert!(ended.status.success(), "{fault}: {ended:?}");
        assert!(ended.stdout.contains(&format!("replaced: {replaced}, ")), "{fault}: {ended:?}");
        assert_clean(&folder);
    }
    let ended = rebuild(&folder);
    assert!(ended.stdout.contains("0 accounts, 0 orders, the postings of 0 events"), "{ended:?}");
}

#[test]
fn from_a_damaged_log_nothing_is_made() {
    let folder = lived_in();
    folder.engines().execute("UPDATE accounts SET balance = 7");
    folder.engines().execute("UPDATE events SET data = '{}' WHERE event_type = 'MoneyDeposited'");
    let ended = rebuild(&folder);
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("the log is damaged"), "{ended:?}");
    let found = verify(&folder).stdout;
    assert!(found.contains("streams: account-"), "{found}");
}

/// Deposits and orders, one after the other, until it is told to stop; answers how many.
fn keep_writing(client: &Client, account: &str, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::Relaxed) {
        let deposits = format!("/accounts/{account}/deposits");
        client.post(&deposits, &json!({ "amount": "0.01" })).expect(201);
        client.post_nothing("/orders").expect(201);
        count += 1;
    }
    count
}

#[test]
fn commands_go_on_while_it_is_made_and_killed() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Everyday", "EUR", &json!("0"));
    let (stop, written) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            let (client, account, stop, written) = (client.apart(), &account, &stop, &written);
            scope.spawn(move || {
                written.fetch_add(keep_writing(&client, account, stop), Ordering::Relaxed);
            });
        }
        let mut killed = 0;
        for turn in 0..12_u64 {
            let process = folder.start(&["rebuild"]);
            thread::sleep(Duration::from_millis(20 + 15 * turn));
            // It may have ended by then.
            process.signal(Signal::KILL);
            killed += u32::from(!process.ended().status.success());
        }
        let ended = rebuild(&folder);
        stop.store(true, Ordering::Relaxed);
        assert!(killed > 0, "none was killed half way");
        assert!(ended.status.success(), "{ended:?}");
        assert!(ended.stdout.contains("replaced: 0 accounts, 0 orders"), "{ended:?}");
    });
    let cents = written.load(Ordering::Relaxed);
    assert_eq!(client.balance(&account), format!("{}.{:02}", cents / 100, cents % 100));
    server.terminate();
    assert_clean(&folder);
}
