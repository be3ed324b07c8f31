//! Transfers, as their statements and their own route show them.

use serde_json::json;

use crate::support::{Folder, Server};

#[test]
fn both_statements_name_the_transfer_and_the_other_account() {
    let folder = Folder::new();
    let server = Server::start(&folder);
    let client = server.register("ada@example.com");
    let from = client.open_account("Daily", "EUR", &json!("50.00"));
    let to = client.open_account("Savings", "EUR", &json!("0"));
    let wanted = json!({ "from_account_id": from, "to_account_id": to, "amount": "12.5", "reference": "rent" });
    let id = client.post("/transfers", &wanted).written(201).text("transfer_id");

    for (account, other, amount) in [(&from, &to, "-12.50"), (&to, &from, "12.50")] {
        let line = &client.get(&format!("/accounts/{account}/entries?limit=1")).items()[0];
        assert_eq!(line["transfer_id"], *id, "{line}");
        assert_eq!(line["counter_account_id"], **other, "{line}");
        assert_eq!(line["amount"], amount, "{line}");
    }
    let opening = &client.get(&format!("/accounts/{from}/entries")).items()[1];
    assert!(opening.get("transfer_id").is_none(), "{opening}");

    let transfer = client.get(&format!("/transfers/{id}")).expect(200);
    let shown = transfer.json();
    assert_eq!(shown["transfer_id"], *id);
    assert_eq!(shown["from_account_id"], *from);
    assert_eq!(shown["to_account_id"], *to);
    assert_eq!(shown["amount"], "12.50");
    assert_eq!(shown["currency_code"], "EUR");
    assert_eq!(shown["reference"], "rent");

    // A transfer outlives the accounts; an operator sees everybody's.
    client.delete(&format!("/accounts/{from}")).expect(204);
    assert_eq!(client.get(&format!("/transfers/{id}")).expect(200).body, transfer.body);
    client.get(&format!("/transfers/{from}")).problem(404);
    client.get("/transfers/x").problem(404);
    let bob = server.register("bob@example.com");
    bob.get(&format!("/transfers/{id}")).problem(404);
    let bob_id = bob.get("/me").expect(200).text("id");
    server.terminate();
    let server = Server::start_with(&folder, &[("DAYBOOK_OPERATORS", &bob_id)]);
    let bob = bob.at(&server.client());
    assert_eq!(bob.get(&format!("/transfers/{id}")).expect(200).body, transfer.body);
}
