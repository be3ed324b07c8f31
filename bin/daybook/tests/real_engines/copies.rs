//! A log that was put back, or copied, beside what its processes left in Redis.

use std::fs;

use serde_json::json;

use super::others::redis_cli;
use crate::support::{Client, Folder, Process, eventually};

/// A server on an SQLite file of this name, with the Redis that all of the folder share.
fn serve(folder: &Folder, file: &str) -> (Process, Client) {
    let url = format!("sqlite://{}", folder.file(file).display());
    let variables = [("DATABASE_URL", &*url), ("AMQP_URL", "")];
    let (process, address) =
        folder.start_with(&["serve", "--listen", "127.0.0.1:0"], &variables).listening();
    (process, Client::new([address]))
}

fn stop(process: Process) -> String {
    let ended = process.terminate();
    assert!(ended.status.success(), "{ended:?}");
    ended.stderr
}

fn verify(folder: &Folder, file: &str) {
    let url = format!("sqlite://{}", folder.file(file).display());
    let ended = folder.start_with(&["verify"], &[("DATABASE_URL", &url)]).ended();
    assert!(ended.status.success(), "{ended:?}");
}

/// Reads until the answer is cached.
fn cached(folder: &Folder, client: &Client, account: &str) {
    let holder = client.get("/me").expect(200).text("id");
    let key = format!("account:{account}:user:{holder}");
    eventually("it is cached", || {
        let body = client.get(&format!("/accounts/{account}")).expect(200).body;
        (redis_cli(folder, &["GET", &key]) == body).then_some(())
    });
}

#[test]
fn a_log_that_was_put_back_in_its_place_believes_nothing_from_after_it() {
    for gone_on in [0, 1, 3] {
        let folder = Folder::new();
        let (server, client) = serve(&folder, "own.db");
        let ada = client.register("ada@example.com");
        let account = ada.open_account("Daily", "EUR", &json!("10"));
        let deposit = json!({ "amount": "100" });
        stop(server);
        let backup = fs::read(folder.file("own.db")).unwrap();

        let (server, client) = serve(&folder, "own.db");
        let ada = client.with_token(ada.token());
        ada.post(&format!("/accounts/{account}/deposits"), &deposit).written(201);
        ada.post(&format!("/accounts/{account}/deposits"), &deposit).written(201);
        cached(&folder, &ada, &account);
        // By then a second was enough to tell how far the log had come.
        eventually("the witness knows", || {
            let key = redis_cli(&folder, &["KEYS", "daybook:witness:*"]);
            let said = redis_cli(&folder, &["GET", &key]);
            said.starts_with("4:").then_some(())
        });
        stop(server);

        // The file stays the same, as with `cp backup daybook.db`.
        fs::write(folder.file("own.db"), backup).unwrap();
        let (server, client) = serve(&folder, "own.db");
        let ada = client.with_token(ada.token());
        for _ in 0..gone_on {
            ada.post("/notifications", &json!({ "message": "hello" })).written(202);
        }
        for _ in 0..20 {
            assert_eq!(ada.balance(&account), "10.00", "{gone_on}");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        cached(&folder, &ada, &account);
        assert_eq!(ada.balance(&account), "10.00");
        let log = stop(server);
        assert_eq!(log.matches("another log was seen").count(), 1, "{log}");
        verify(&folder, "own.db");
    }
}

#[test]
fn a_restart_keeps_the_identity_and_what_is_cached() {
    let folder = Folder::new();
    let (server, client) = serve(&folder, "own.db");
    let ada = client.register("ada@example.com");
    let account = ada.open_account("Daily", "EUR", &json!("10"));
    cached(&folder, &ada, &account);
    let log = stop(server);
    assert!(!log.contains("another log"), "{log}");
    let (server, client) = serve(&folder, "own.db");
    let ada = client.with_token(ada.token());
    let reads = || redis_cli(&folder, &["INFO", "stats"]);
    let hits = || {
        let stats = reads();
        let line = stats.lines().find_map(|line| line.strip_prefix("keyspace_hits:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    eventually("it is believed again", || {
        let before = hits();
        ada.balance(&account);
        (hits() >= before + 2).then_some(())
    });
    let log = stop(server);
    assert!(!log.contains("another log") && !log.contains("new identity"), "{log}");
}

#[test]
fn a_copy_and_its_original_on_one_redis_show_their_own_and_name_each_other() {
    let folder = Folder::new();
    let (server, client) = serve(&folder, "production.db");
    let ada = client.register("ada@example.com");
    let account = ada.open_account("Daily", "EUR", &json!("10"));
    stop(server);
    fs::copy(folder.file("production.db"), folder.file("staging.db")).unwrap();
    fs::copy(folder.file("production.key"), folder.file("staging.key")).unwrap();

    let sites = [serve(&folder, "production.db"), serve(&folder, "staging.db")];
    let clients = sites.each_ref().map(|(_, client)| client.with_token(ada.token()));
    let streams = clients.each_ref().map(|client| client.listen("/events/stream", None));
    let expected = ["11.00", "510.00"];
    for (client, amount) in clients.iter().zip(["1", "500"]) {
        let deposit = json!({ "amount": amount });
        client.post(&format!("/accounts/{account}/deposits"), &deposit).written(201);
    }
    for _ in 0..20 {
        for (client, expected) in clients.iter().zip(expected) {
            assert_eq!(client.balance(&account), expected);
        }
    }
    for (stream, expected) in streams.iter().zip(["1.00", "500.00"]) {
        let shown = stream.next().json();
        assert_eq!(shown["type"], "MoneyDeposited", "{shown}");
        assert!(shown["data"].to_string().contains(expected), "{shown}");
    }
    let mut named = Vec::new();
    for client in &clients {
        let met = eventually("the neighbour is named", || {
            for client in &clients {
                client.balance(&account);
            }
            let health = client.get("/health/ready").expect(200).json();
            assert_eq!(health["status"], "ready", "{health}");
            let met = health["neighbours"].as_array().unwrap().clone();
            let parts: Vec<_> = met.iter().map(|met| met["part"].clone()).collect();
            (parts == [json!("bus"), json!("cache")]).then_some(met)
        });
        assert_eq!(met[0]["installation"], met[1]["installation"]);
        named.push(met[0]["installation"].clone());
    }
    assert_ne!(named[0], named[1], "each names the other");
    for (process, _) in sites {
        let log = stop(process);
        assert_eq!(log.matches("another installation uses the same names").count(), 2, "{log}");
    }
    for file in ["production.db", "staging.db"] {
        verify(&folder, file);
    }
}
