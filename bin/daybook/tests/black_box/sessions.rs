//! Sessions that end before they expire: on every instance, within a second, streams included.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Client, Folder, Server};

const PASSWORD: &str = "correct horse battery";
const OTHER: &str = "battery horse correct";
/// In this time it is known everywhere.
const SOON: Duration = Duration::from_secs(1);

#[track_caller]
fn log_in(client: &Client, password: &str) -> Client {
    let body = json!({ "email": "ada@example.com", "password": password });
    client.with_token(&client.post("/login", &body).expect(200).text("token"))
}

/// Every instance has seen the token, and has found it good.
#[track_caller]
fn is_known(client: &Client) {
    for _ in 0..4 {
        client.get("/me").expect(200);
    }
}

#[track_caller]
fn is_over_everywhere(client: &Client, since: Instant) {
    let mut refused = 0;
    while refused < 4 {
        let reply = client.get("/me");
        if reply.status == 401 {
            reply.problem(401);
            refused += 1;
            continue;
        }
        assert!(since.elapsed() < SOON, "it is still good after {SOON:?}");
        refused = 0;
    }
    client.post_nothing("/orders").problem(401);
}

#[test]
fn who_logs_out_is_out_on_every_instance_and_elsewhere_is_not() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let elsewhere = server.register("ada@example.com");
    let here = log_in(&elsewhere, PASSWORD);
    is_known(&here);
    let streams = [here.listen("/events/stream", None), here.listen("/notifications/stream", None)];
    let other_stream = elsewhere.listen("/events/stream", None);
    here.post_nothing("/logout").written(204);
    let since = Instant::now();
    for stream in &streams {
        assert_eq!(stream.next_of(&["session-ended"]).event, "session-ended");
        stream.until_its_end();
    }
    assert!(since.elapsed() < SOON, "the streams ended after {:?}", since.elapsed());
    is_over_everywhere(&here, since);
    here.post_nothing("/logout").problem(401);
    is_known(&elsewhere);
    // The other stream goes on, and shows that it was so.
    other_stream.next_of(&["SessionEnded"]);
    log_in(&elsewhere, PASSWORD).get("/me").expect(200);
    // A restart forgets nothing.
    server.kill();
    let server = Server::start(&folder);
    is_over_everywhere(&here.at(&server.client()), Instant::now());
    elsewhere.at(&server.client()).get("/me").expect(200);
}

#[test]
fn a_new_password_ends_all_other_sessions() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let here = server.register("ada@example.com");
    let elsewhere = log_in(&here, PASSWORD);
    let bob = server.register("bob@example.com");
    is_known(&here);
    is_known(&elsewhere);
    let (stream, own) =
        (elsewhere.listen("/events/stream", None), here.listen("/events/stream", None));
    let change = |client: &Client, password: &str, new: &str| {
        client.post("/me/password", &json!({ "password": password, "new_password": new }))
    };
    let wrong = change(&here, "not the password", OTHER).problem(403);
    assert_eq!(wrong.text("type"), "urn:daybook:problem:wrong-password");
    let weak = change(&here, PASSWORD, "ada@example.com").problem(400);
    assert!(weak.text("detail").starts_with("new_password: "));
    change(&here, PASSWORD, "short").problem(400);
    is_known(&elsewhere);
    change(&here, PASSWORD, OTHER).written(204);
    let since = Instant::now();
    stream.next_of(&["session-ended"]);
    is_over_everywhere(&elsewhere, since);
    is_known(&here);
    is_known(&bob);
    own.next_of(&["PasswordChanged"]);
    let old = json!({ "email": "ada@example.com", "password": PASSWORD });
    here.post("/login", &old).problem(401);
    let again = log_in(&here, OTHER);
    // The other way round.
    change(&again, OTHER, PASSWORD).written(204);
    is_over_everywhere(&here, Instant::now());
    is_known(&again);
    server.terminate();
    let verified = folder.start(&["verify"]).ended();
    assert!(verified.status.success(), "{}{}", verified.stdout, verified.stderr);
}

#[test]
fn guessing_the_present_password_is_limited_as_logging_in_is() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let guess = json!({ "password": "not the password", "new_password": OTHER });
    let statuses: Vec<_> = (0..20).map(|_| client.post("/me/password", &guess).status).collect();
    assert_eq!((statuses[0], statuses.last()), (403, Some(&429)), "{statuses:?}");
}
