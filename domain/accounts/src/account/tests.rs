//! Given events, when a command, then events or a rejection.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{Ledger, Posting};

fn text(amount: &str) -> Amount {
    Amount::Text(amount.to_owned())
}

fn money(amount: &str, code: &str) -> Money {
    Money::parse(amount, code.parse().unwrap()).unwrap()
}

fn command(id: u128, code: &str, initial: Option<&str>) -> OpenAccount {
    OpenAccount {
        account_id: AccountId::from_uuid(Uuid::from_u128(id)),
        holder_id: HolderId::from_uuid(Uuid::from_u128(7)),
        name: AccountName::new("Everyday").unwrap(),
        currency: code.parse().unwrap(),
        initial_balance: initial.map(text),
        opened_at: Timestamp::from_micros(1),
    }
}

/// Given an account that was opened and to which these amounts came in.
fn given(id: u128, code: &str, initial: &str, deposits: &[&str]) -> Account {
    let opened = Account::open(command(id, code, Some(initial))).unwrap();
    let mut account = Account::evolve(None, &opened).unwrap();
    for amount in deposits {
        let event = account.deposit(&text(amount), None).unwrap();
        account = Account::evolve(Some(account), &event).unwrap();
    }
    account
}

#[test]
fn given_nothing_when_opened_then_it_has_its_opening_balance() {
    let account = given(1, "EUR", "12.50", &[]);
    assert_eq!(account.balance, money("12.50", "EUR"));
    assert_eq!(account.available(), account.balance);
    assert_eq!(account.version, Version::new(1));
    let empty = Account::open(command(1, "EUR", None)).unwrap();
    assert!(Account::evolve(None, &empty).unwrap().balance.is_zero());
}

#[test]
fn given_nothing_when_opened_with_a_bad_balance_then_refused() {
    for (initial, rejection) in [
        ("-0.01", AccountRejection::InitialBalanceNegative),
        ("0.001", AccountRejection::InitialBalance(MoneyError::TooPrecise)),
        ("a lot", AccountRejection::InitialBalance(MoneyError::NotADecimal)),
        ("99999999999999999999", AccountRejection::InitialBalance(MoneyError::OutOfRange)),
    ] {
        assert_eq!(Account::open(command(1, "EUR", Some(initial))), Err(rejection), "{initial}");
    }
}

#[test]
fn given_an_account_when_money_comes_in_then_the_balance_is_the_sum() {
    let account = given(1, "EUR", "1", &["2.30", "0.07"]);
    assert_eq!(account.balance, money("3.37", "EUR"));
    assert_eq!(account.version, Version::new(3));
    assert_eq!(account.initial_balance, money("1", "EUR"));
}

#[test]
fn given_an_account_when_the_amount_is_not_positive_then_refused() {
    let account = given(1, "EUR", "10", &[]);
    for amount in ["0", "-1", "-0.00"] {
        assert_eq!(account.deposit(&text(amount), None), Err(AccountRejection::AmountNotPositive));
        assert_eq!(account.withdraw(&text(amount), None), Err(AccountRejection::AmountNotPositive));
    }
}

#[test]
fn given_a_full_account_when_more_comes_in_then_refused() {
    let account = given(1, "EUR", "92233720368547758.07", &[]);
    assert_eq!(account.deposit(&text("0.01"), None), Err(AccountRejection::BalanceOutOfRange));
    let from = given(2, "EUR", "5", &[]);
    let transfer = from.transfer(&account, TransferId::from_uuid(Uuid::nil()), &text("1"), None);
    assert_eq!(transfer, Err(AccountRejection::BalanceOutOfRange));
    assert_eq!(
        account.refund_order(Uuid::nil(), money("1", "EUR")),
        Err(AccountRejection::BalanceOutOfRange)
    );
}

#[test]
fn given_ten_when_ten_is_withdrawn_then_nothing_is_left_and_no_more_goes() {
    let account = given(1, "EUR", "10", &[]);
    assert_eq!(account.withdraw(&text("10.01"), None), Err(AccountRejection::InsufficientFunds));
    let event = account.withdraw(&text("10"), None).unwrap();
    let account = Account::evolve(Some(account), &event).unwrap();
    assert!(account.balance.is_zero());
    assert_eq!(account.withdraw(&text("0.01"), None), Err(AccountRejection::InsufficientFunds));
}

#[test]
fn given_two_accounts_when_money_is_transferred_then_both_change_by_it() {
    let (from, to) = (given(1, "EUR", "10", &[]), given(2, "EUR", "1", &[]));
    let id = TransferId::from_uuid(Uuid::from_u128(9));
    let (sent, received) = from.transfer(&to, id, &text("4.50"), None).unwrap();
    assert_eq!(Account::evolve(Some(from.clone()), &sent).unwrap().balance, money("5.50", "EUR"));
    assert_eq!(Account::evolve(Some(to.clone()), &received).unwrap().balance, money("5.50", "EUR"));
    let postings = [sent.postings(from.id).unwrap(), received.postings(to.id).unwrap()].concat();
    assert_eq!(postings.iter().map(|p| p.amount.minor()).sum::<i64>(), 0);
}

#[test]
fn given_another_currency_when_money_is_transferred_then_refused() {
    let (from, to) = (given(1, "EUR", "10", &[]), given(2, "USD", "1", &[]));
    let transfer = from.transfer(&to, TransferId::from_uuid(Uuid::nil()), &text("1"), None);
    assert_eq!(transfer, Err(AccountRejection::CurrencyMismatch));
}

#[test]
fn given_too_little_when_money_is_transferred_then_refused() {
    let (from, to) = (given(1, "EUR", "10", &[]), given(2, "EUR", "1", &[]));
    let transfer = from.transfer(&to, TransferId::from_uuid(Uuid::nil()), &text("10.01"), None);
    assert_eq!(transfer, Err(AccountRejection::InsufficientFunds));
}

#[test]
fn given_an_account_when_an_order_is_paid_then_its_total_goes() {
    let account = given(1, "EUR", "10", &[]);
    let order = Uuid::from_u128(3);
    assert_eq!(account.pay_order(order, money("0", "EUR")), Ok(None));
    assert_eq!(
        account.pay_order(order, money("11", "EUR")),
        Err(AccountRejection::InsufficientFunds)
    );
    assert_eq!(
        account.pay_order(order, money("1", "USD")),
        Err(AccountRejection::CurrencyMismatch)
    );
    let event = account.pay_order(order, money("10", "EUR")).unwrap().unwrap();
    let paid = Account::evolve(Some(account.clone()), &event).unwrap();
    assert!(paid.balance.is_zero());
    let event = paid.refund_order(order, money("10", "EUR")).unwrap();
    assert_eq!(Account::evolve(Some(paid), &event).unwrap().balance, account.balance);
}

#[test]
fn given_an_account_when_renamed_then_only_its_name_changes() {
    let account = given(1, "EUR", "10", &[]);
    assert_eq!(account.rename(account.name.clone()), None);
    let event = account.rename(AccountName::new("Savings").unwrap()).unwrap();
    let renamed = Account::evolve(Some(account.clone()), &event).unwrap();
    assert_eq!(renamed.name.as_str(), "Savings");
    assert_eq!(renamed.balance, account.balance);
    assert_eq!(renamed.version, Version::new(2));
}

#[test]
fn given_an_account_when_closed_then_what_is_left_goes_outside() {
    let account = given(1, "EUR", "10", &[]);
    let event = account.close();
    let postings = event.postings(account.id).unwrap();
    assert!(postings.contains(&Posting { ledger: Ledger::Outside, amount: money("10", "EUR") }));
    let closed = Account::evolve(Some(account), &event).unwrap();
    assert!(!closed.is_open());
    assert!(closed.balance.is_zero());
}

#[test]
fn given_a_closed_account_then_no_event_can_follow() {
    let account = given(1, "EUR", "10", &[]);
    let deposit = account.deposit(&text("1"), None).unwrap();
    let closed = Account::evolve(Some(account.clone()), &account.close()).unwrap();
    assert!(Account::evolve(Some(closed), &deposit).is_err());
    assert!(Account::evolve(None, &deposit).is_err());
    let opened = Account::open(command(1, "EUR", None)).unwrap();
    assert!(Account::evolve(Some(account), &opened).is_err());
}

#[test]
fn the_fold_of_a_stored_stream_is_the_account() {
    use daybook_events::EventPayload;
    let opened = Account::open(command(1, "EUR", Some("5"))).unwrap();
    let account = Account::evolve(None, &opened).unwrap();
    let deposit = account.deposit(&text("1.25"), Some(Reference::new("wages").unwrap())).unwrap();
    let stored: Vec<_> = [&opened, &deposit]
        .map(|event| AccountEvent::from_stored(event.event_type(), &event.data()).unwrap())
        .to_vec();
    assert_eq!(stored, [opened, deposit]);
    assert_eq!(Account::fold(&stored).unwrap().unwrap().balance, money("6.25", "EUR"));
}

proptest! {
    /// Whatever is asked of three accounts, money is neither made nor lost and no floor is passed.
    #[test]
    fn money_is_conserved(steps in prop::collection::vec((0..5_u8, 0..3_usize, 0..3_usize, 0..2_000_i64), 1..60)) {
        let mut accounts: Vec<_> = (0..3).map(|i| given(i, "EUR", "10", &[])).collect();
        let mut ledgers: HashMap<Ledger, i64> = HashMap::new();
        for account in &accounts {
            *ledgers.entry(Ledger::Account(account.id)).or_default() += 1_000;
            *ledgers.entry(Ledger::Outside).or_default() -= 1_000;
        }
        for (what, a, b, cents) in steps {
            let amount = text(&Money::from_minor(cents, "EUR".parse().unwrap()).amount());
            let events = match what {
                0 => accounts[a].deposit(&amount, None).map(|event| vec![(a, event)]),
                1 => accounts[a].withdraw(&amount, None).map(|event| vec![(a, event)]),
                2 if a != b => accounts[a]
                    .transfer(&accounts[b], TransferId::from_uuid(Uuid::nil()), &amount, None)
                    .map(|(sent, received)| vec![(a, sent), (b, received)]),
                3 => Ok(accounts[a].rename(AccountName::new("x").unwrap()).map(|event| (a, event)).into_iter().collect()),
                _ => continue,
            };
            for (i, event) in events.into_iter().flatten() {
                for posting in event.postings(accounts[i].id).unwrap() {
                    *ledgers.entry(posting.ledger).or_default() += posting.amount.minor();
                }
                accounts[i] = Account::evolve(Some(accounts[i].clone()), &event).unwrap();
            }
            prop_assert_eq!(ledgers.values().sum::<i64>(), 0);
            for account in &accounts {
                prop_assert_eq!(account.balance.minor(), ledgers[&Ledger::Account(account.id)]);
                prop_assert!(!account.balance.is_negative());
            }
        }
    }
}
