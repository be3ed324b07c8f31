//! On Postgres rows are replaced under running instances: neither what an instance remembers nor
//! what is in Redis outlives it.

use serde_json::json;

use crate::support::{Folder, Server, eventually};
use crate::verify::assert_clean;

#[test]
fn no_instance_goes_on_with_what_was_wrong() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let account = client.open_account("Everyday", "EUR", &json!("100.00"));
    server.terminate();
    folder.engines().execute("UPDATE accounts SET balance = balance + 500");

    // Both instances read the wrong row, decide on it, and put it into Redis.
    let server = Server::start(&folder);
    let client = client.at(&server.client());
    let deposits = format!("/accounts/{account}/deposits");
    for expected in ["106.00", "107.00"] {
        let moved = client.post(&deposits, &json!({ "amount": "1.00" })).expect(201);
        assert_eq!(moved.text("balance"), expected);
    }
    assert_eq!(client.balance(&account), "107.00");
    assert_eq!(client.balance(&account), "107.00");

    let ended = folder.start(&["rebuild"]).ended();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("replaced: 1 accounts, 0 orders"), "{ended:?}");
    // The sessions of both were ended: the first requests may find nobody to ask.
    let mut balances = Vec::new();
    eventually("both instances answer", || {
        let read = client.get(&format!("/accounts/{account}"));
        if read.status == 200 {
            balances.push(read.text("balance"));
        }
        (balances.len() == 4).then_some(())
    });
    assert_eq!(balances, ["102.00"; 4]);
    let mut moved = Vec::new();
    eventually("both instances write", || {
        let reply = client.post(&deposits, &json!({ "amount": "1.00" }));
        match reply.status {
            201 => moved.push(reply.text("balance")),
            503 => {}
            other => panic!("{other}: {}", reply.text("detail")),
        }
        (moved.len() == 4).then_some(())
    });
    assert_eq!(moved, ["103.00", "104.00", "105.00", "106.00"]);
    server.terminate();
    assert_clean(&folder);
}
