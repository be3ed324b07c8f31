//! On Postgres rows are replaced under running instances: neither what an instance remembers nor
//! what is in Redis outlives it.

use serde_json::json;

use crate::support::{Client, Folder, Process, Server, eventually};
use crate::verify::assert_clean;

/// An instance, and a client that talks to it alone.
fn start(folder: &Folder, token: &str) -> (Process, Client) {
    let (process, address) = folder.start(&["serve", "--listen", "127.0.0.1:0"]).listening();
    (process, Client::new([address]).with_token(token))
}

/// What the balance is after a deposit of one; the first may find the session ended.
#[track_caller]
fn deposit(client: &Client, account: &str) -> String {
    eventually("the instance writes", || {
        let path = format!("/accounts/{account}/deposits");
        let reply = client.post(&path, &json!({ "amount": "1.00" }));
        match reply.status {
            201 => Some(reply.text("balance")),
            503 => None,
            other => panic!("{other}: {}", reply.body),
        }
    })
}

#[track_caller]
fn balance(client: &Client, account: &str) -> String {
    eventually("the instance reads", || {
        let reply = client.get(&format!("/accounts/{account}"));
        (reply.status == 200).then(|| reply.text("balance"))
    })
}

#[test]
fn no_instance_goes_on_with_what_was_wrong() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    // Each instance writes its own account alone, so that no conflict makes it look again.
    let accounts =
        ["First", "Second"].map(|name| client.open_account(name, "EUR", &json!("100.00")));
    server.terminate();
    folder.engines().execute("UPDATE accounts SET balance = balance + 500");

    // The instances read the wrong rows, decide on them, and put them into Redis.
    let instances = [0, 1].map(|_| start(&folder, client.token()));
    for ((_, client), account) in instances.iter().zip(&accounts) {
        assert_eq!(deposit(client, account), "106.00");
        assert_eq!(balance(client, account), "106.00");
        assert_eq!(deposit(client, account), "107.00");
    }

    let ended = folder.start(&["rebuild"]).ended();
    assert!(ended.status.success(), "{ended:?}");
    assert!(ended.stdout.contains("replaced: 2 accounts, 0 orders"), "{ended:?}");
    for ((_, client), account) in instances.iter().zip(&accounts) {
        assert_eq!(balance(client, account), "102.00");
        assert_eq!(deposit(client, account), "103.00");
        assert_eq!(balance(client, account), "103.00");
    }
    for (process, _) in instances {
        process.terminate();
    }
    assert_clean(&folder);
}
