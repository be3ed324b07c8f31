//! Limits of requests: per client address, per holder.

use serde_json::json;

use crate::support::{Folder, Server};

#[test]
fn a_client_that_registers_too_fast_is_told_to_wait() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_CREDENTIAL_RATE", "1")]);
    let client = server.client();
    // Refused before anything is looked at: none of these is a registration.
    let statuses: Vec<_> = (0..10).map(|_| client.post("/register", &json!({})).status).collect();
    assert_eq!(statuses[0], 400);
    assert_eq!(statuses.last(), Some(&429));
    let refused = client.post("/login", &json!({})).problem(429);
    assert!(refused.header("Retry-After").is_some());
    // Others are not held up by it.
    client.get("/health/live").expect(200);
}

#[test]
fn a_holder_has_a_limit_of_their_own() {
    let folder = Folder::new();
    let server = Server::start_with(&folder, &[("DAYBOOK_HOLDER_RATE", "2")]);
    let (ada, bob) = (server.register("ada@example.com"), server.register("bob@example.com"));
    let statuses: Vec<_> = (0..30).map(|_| ada.get("/me").status).collect();
    assert_eq!((statuses[0], statuses.last()), (200, Some(&429)));
    bob.get("/me").expect(200);
}
