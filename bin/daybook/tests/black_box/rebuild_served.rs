//! A server on an SQLite file goes on with what it remembers: its rows are left alone.

use serde_json::json;

use crate::support::{Folder, Server};
use crate::verify::{assert_clean, verify};

#[test]
fn rows_that_a_server_remembers_are_not_replaced_behind_its_back() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    client.open_account("Everyday", "EUR", &json!("100.00"));
    let ended = folder.start(&["rebuild"]).ended();
    assert!(ended.status.success(), "nothing differs: {ended:?}");

    folder.engines().execute("UPDATE accounts SET balance = balance + 1");
    let ended = folder.start(&["rebuild"]).ended();
    assert!(!ended.status.success(), "{ended:?}");
    assert!(ended.stderr.contains("1 rows differ; stop the server"), "{ended:?}");
    assert_eq!(verify(&folder).status.code(), Some(1));

    server.terminate();
    let ended = folder.start(&["rebuild"]).ended();
    assert!(ended.status.success(), "{ended:?}");
    assert_clean(&folder);
}
