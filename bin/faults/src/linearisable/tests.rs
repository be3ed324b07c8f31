use std::time::Duration;

use serde_json::json;

use super::*;
use crate::crowd::{Order, Seen};
use crate::money::decimal;

/// A log that is put together event by event, and what clients were told.
struct Story {
    deeds: Deeds,
    events: Vec<Value>,
}

const ACCOUNT: &str = "a";

fn order() -> Order {
    Order { id: "o".to_owned(), cents: 30 }
}

impl Story {
    /// With an account that has one deposit of 100, acknowledged between 1 and 2.
    fn new() -> Self {
        let deeds = Deeds { accounts: vec![ACCOUNT.to_owned()], ..Deeds::default() };
        let mut story = Self { deeds, events: Vec::new() };
        story.event("AccountOpened", "account-a", 1, &json!({ "initial_balance": money(0) }));
        story.deposit(2);
        story.deed(0, (1, 2), deposit(), done(2));
        story
    }

    fn event(&mut self, kind: &str, stream: &str, version: u64, data: &Value) {
        let position = self.events.len() + 1;
        let order = data.get("order_id");
        self.events.push(json!({
            "position": position, "type": kind, "stream": stream, "version": version,
            "order_id": order, "data": data,
        }));
    }

    fn deposit(&mut self, version: u64) {
        self.event("MoneyDeposited", "account-a", version, &json!({ "amount": money(100) }));
    }

    fn created(&mut self) {
        let data = json!({ "order_id": "o", "total": money(30) });
        self.event("OrderCreated", "order-o", 1, &data);
    }

    fn paid(&mut self, version: u64, account_version: u64) {
        self.event("OrderPaid", "order-o", version, &json!({ "order_id": "o" }));
        let debit = json!({ "order_id": "o", "amount": money(30) });
        self.event("OrderPaymentDebited", "account-a", account_version, &debit);
    }

    fn deed(&mut self, client: usize, (asked, answered): (u64, u64), act: Act, answer: Answer) {
        let [asked, answered] = [asked, answered].map(Duration::from_millis);
        self.deeds.all.push(Deed { client, act, asked, answered, answer });
    }

    fn told(&mut self, client: usize, times: (u64, u64), cents: i64, version: u64) {
        let answer = Answer::Account { cents, version };
        self.deed(client, times, Act::ReadAccount { account: 0 }, answer);
    }

    /// Someone reads the log behind a position, and sees the events at these.
    fn read(&mut self, client: usize, times: (u64, u64), after: u64, positions: &[u64]) {
        let seen = |position: &u64| {
            let event = self.events.get(usize::try_from(*position).unwrap() - 1).unwrap();
            let stream = event["stream"].as_str().unwrap().to_owned();
            Seen { position: *position, stream, version: event["version"].as_u64().unwrap() }
        };
        let events = positions.iter().map(seen).collect();
        let answer = Answer::Log { events, is_full: false };
        self.deed(client, times, Act::ReadLog { after }, answer);
    }

    /// Something is said, with the next position.
    fn said(&mut self, times: (u64, u64), text: &str, version: u64) {
        let data = json!({ "message": text });
        self.event("NotificationPublished", "notification-t", version, &data);
        let act = Act::Publish { topic: "t".to_owned(), text: text.to_owned() };
        let position = u64::try_from(self.events.len()).unwrap();
        self.deed(0, times, act, done(position));
    }

    #[track_caller]
    fn passes(&self) {
        check(&self.deeds, &self.events).unwrap();
    }

    #[track_caller]
    fn fails(&self, because: &str) {
        let failure = check(&self.deeds, &self.events).unwrap_err().to_string();
        assert!(failure.contains(because), "{failure}");
    }
}

fn money(cents: i64) -> Value {
    json!({ "amount": decimal(cents), "currency_code": "EUR" })
}

fn deposit() -> Act {
    Act::Deposit { account: 0, cents: 100 }
}

fn done(position: u64) -> Answer {
    Answer::Done { position, id: None }
}

#[test]
fn a_read_beside_a_write_may_see_it_or_not() {
    let mut story = Story::new();
    story.deposit(3);
    story.deed(0, (10, 20), deposit(), done(3));
    story.told(1, (11, 19), 100, 2);
    story.told(2, (12, 18), 200, 3);
    story.told(1, (21, 22), 200, 3);
    story.passes();
}

#[test]
fn a_read_after_a_write_sees_it() {
    let mut story = Story::new();
    story.deposit(3);
    story.deed(0, (10, 20), deposit(), done(3));
    story.told(1, (21, 22), 100, 2);
    story.fails("by then it was at version 3");
}

#[test]
fn reads_do_not_go_back() {
    let mut story = Story::new();
    story.deposit(3);
    story.deed(0, (10, 50), deposit(), done(3));
    story.told(1, (11, 12), 200, 3);
    story.told(2, (13, 14), 100, 2);
    story.fails("by then it was at version 3");
}

#[test]
fn a_read_does_not_see_what_is_asked_for_later() {
    let mut story = Story::new();
    story.deposit(3);
    story.told(1, (5, 6), 200, 3);
    story.deed(0, (10, 20), deposit(), done(3));
    story.fails("has no place");
}

#[test]
fn a_read_shows_what_the_log_says() {
    let mut story = Story::new();
    story.told(1, (5, 6), 101, 2);
    story.fails("not what the log says");
}

#[test]
fn what_was_acknowledged_is_in_the_log_once() {
    let mut story = Story::new();
    story.deed(0, (10, 20), deposit(), done(3));
    story.fails("acknowledged and not in the log");

    let mut story = Story::new();
    story.deed(1, (10, 20), deposit(), done(2));
    story.fails("shares its event");

    let mut story = Story::new();
    story.deposit(3);
    story.fails("nobody asked");
}

#[test]
fn what_was_not_answered_is_in_the_log_once_or_not() {
    let mut story = Story::new();
    story.deed(1, (10, 20), deposit(), Answer::Unknown);
    story.told(1, (21, 22), 100, 2);
    story.passes();
    // It takes effect later than anybody waited.
    story.deposit(3);
    story.told(1, (31, 32), 200, 3);
    story.passes();
    story.deposit(4);
    story.fails("nobody asked");
}

#[test]
fn writes_are_in_the_order_in_which_they_were_acknowledged() {
    let mut story = Story::new();
    story.deposit(3);
    story.deposit(4);
    story.deed(0, (10, 20), deposit(), done(4));
    story.deed(1, (21, 30), deposit(), done(3));
    story.fails("by then it was at version 4");
}

#[test]
fn an_order_is_debited_once() {
    let mut story = Story::new();
    story.created();
    let create = Answer::Done { position: 3, id: Some("o".to_owned()) };
    story.deed(0, (3, 4), Act::Create { cents: 30 }, create);
    story.paid(2, 3);
    let pay = || Act::Pay { order: order(), account: 0 };
    story.deed(0, (5, 6), pay(), done(5));
    story.deed(1, (5, 6), pay(), Answer::Refused("order-already-paid".to_owned()));
    story.told(0, (7, 8), 70, 3);
    story.passes();
    story.paid(3, 4);
    story.deed(1, (5, 6), pay(), done(7));
    story.fails("can't follow Paid");
}

#[test]
fn a_refusal_has_a_state_in_which_it_is_right() {
    let refusal = || Answer::Refused("insufficient-funds".to_owned());
    let mut story = Story::new();
    // Before the deposit was acknowledged it may have been refused.
    story.deed(1, (1, 3), Act::Withdraw { account: 0, cents: 50 }, refusal());
    story.passes();
    story.deed(1, (5, 6), Act::Withdraw { account: 0, cents: 50 }, refusal());
    story.fails("has no place");
}

#[test]
fn a_refusal_without_any_reason_is_found() {
    let mut story = Story::new();
    let withdraw = Act::Withdraw { account: 0, cents: 50 };
    story.deed(1, (5, 6), withdraw, Answer::Refused("not-found".to_owned()));
    story.fails("can't be");
}

#[test]
fn no_account_is_overdrawn() {
    let mut story = Story::new();
    let data = json!({ "amount": money(101) });
    story.event("MoneyWithdrawn", "account-a", 3, &data);
    story.deed(1, (5, 6), Act::Withdraw { account: 0, cents: 101 }, done(3));
    story.fails("overdrawn");
}

/// With deposits at 3 and 4, acknowledged between 10 and 20 and between 30 and 40.
fn longer_story() -> Story {
    let mut story = Story::new();
    for (version, times) in [(3, (10, 20)), (4, (30, 40))] {
        story.deposit(version);
        story.deed(0, times, deposit(), done(version));
    }
    story
}

#[test]
fn who_reads_the_log_sees_all_of_it() {
    let mut story = longer_story();
    story.read(1, (5, 6), 1, &[2]);
    story.read(1, (15, 16), 2, &[]);
    story.read(1, (21, 22), 2, &[3]);
    story.read(1, (35, 36), 3, &[4]);
    story.read(2, (41, 42), 0, &[1, 2, 3, 4]);
    story.passes();
}

#[test]
fn who_reads_the_log_misses_nothing() {
    let mut story = longer_story();
    story.read(1, (41, 42), 1, &[2, 4]);
    story.fails("behind 2");

    let mut story = longer_story();
    story.read(1, (41, 42), 1, &[3, 4]);
    story.fails("behind 1");

    let mut story = longer_story();
    story.read(1, (41, 42), 4, &[4]);
    story.fails("behind 4");
}

#[test]
fn the_log_does_not_end_before_what_others_were_told_of() {
    let mut story = longer_story();
    story.read(1, (21, 22), 1, &[2]);
    story.fails("it ends at 2, though client 0 was told of 3");

    let mut story = longer_story();
    story.read(1, (31, 32), 2, &[3, 4]);
    story.read(2, (33, 34), 2, &[3]);
    story.fails("it ends at 3, though client 1 was told of 4");
}

#[test]
fn a_page_of_the_log_is_what_the_log_is() {
    let mut story = longer_story();
    story.read(1, (41, 42), 3, &[4]);
    if let Some(Deed { answer: Answer::Log { events, .. }, .. }) = story.deeds.all.last_mut() {
        events.first_mut().unwrap().version = 9;
    }
    story.fails("where the log has");

    let mut story = longer_story();
    story.read(1, (21, 22), 2, &[3, 4]);
    story.fails("asked for later");
}

#[test]
fn a_gap_in_the_log_is_found() {
    let mut story = longer_story();
    story.events.remove(2);
    story.fails("a gap or a repetition");
}

#[test]
fn what_was_acknowledged_is_not_missing() {
    let mut story = Story::new();
    story.deed(1, (5, 6), Act::ReadAccount { account: 0 }, Answer::Missing);
    story.fails("acknowledged before, and missing");
}

#[test]
fn who_listens_hears_everything_in_order() {
    let mut story = Story::new();
    story.said((10, 20), "one", 1);
    story.said((21, 30), "two", 2);
    story.said((31, 40), "three", 3);
    let heard = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
    story.passes();
    story.deeds.heard = heard(&["one", "two", "other", "three"]);
    story.passes();
    // At least once: a relay that takes over begins a little before where the last one was.
    story.deeds.heard = heard(&["one", "two", "one", "two", "three"]);
    story.passes();
    story.deeds.heard = heard(&["one", "three", "two"]);
    story.fails("before what it follows");
    story.deeds.heard = heard(&["one", "three"]);
    story.fails("1 of 3 notifications were not heard");
}
