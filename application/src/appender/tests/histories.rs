//! Random histories of two processes.

use super::*;

/// Something a caller sends in a random history.
#[derive(Clone, Debug)]
struct Attempt {
    /// Which of two processes gets it.
    process: usize,
    from: u128,
    /// `None` for money that goes outside.
    to: Option<u128>,
    cents: u16,
    /// With a key, every attempt is the same one.
    key: Option<u8>,
}

impl Attempt {
    /// The same for all attempts with the same key, and for no others.
    fn tag(&self, number: usize) -> String {
        self.key.map_or_else(|| format!("attempt {number}"), |key| format!("key {key}"))
    }

    fn act(&self, tag: String) -> Act {
        let (from, to) = (account_id(self.from), self.to.map(account_id));
        let cents = self.cents;
        let needs = [from].into_iter().chain(to).map(Key::Account).collect();
        Act::new(needs, move |states, entry| {
            let amount = text(&format!("{}.{:02}", cents / 100, cents % 100));
            let reference = Some(Reference::new(&tag).unwrap());
            let source = states.own_account(from, holder(ME))?;
            let changes = match to {
                None => vec![Change::Account(from, source.withdraw(&amount, reference)?)],
                Some(to) => {
                    let target = states.own_account(to, holder(ME))?;
                    let id = TransferId::from_uuid(entry.uuid());
                    let (sent, received) = source.transfer(target, id, &amount, reference)?;
                    vec![Change::Account(from, sent), Change::Account(to, received)]
                }
            };
            Ok(Decision { changes, receipt: Receipt::Done })
        })
    }

    fn request(&self) -> Request {
        self.key.map_or_else(Request::default, |key| keyed(&format!("key-{key}"), key))
    }
}

fn attempt() -> impl Strategy<Value = Attempt> {
    let to = prop_oneof![Just(None), (1_u128..4).prop_map(Some)];
    let key = prop_oneof![2 => Just(None), 1 => (0_u8..3).prop_map(Some)];
    (0_usize..2, 1_u128..4, to, 1_u16..5_000, key).prop_map(|(process, from, to, cents, key)| {
        match key {
            // What a key is used for is always the same.
            Some(key) => Attempt { process, from: 1, to: None, cents: 1_000, key: Some(key) },
            None => Attempt { process, from, to: to.filter(|to| *to != from), cents, key: None },
        }
    })
}

fn fate() -> impl Strategy<Value = Vec<Fate>> {
    let one = prop_oneof![
        Just(Fate::Unavailable),
        Just(Fate::LostBefore),
        Just(Fate::LostAfter),
        Just(Fate::Conflict),
    ];
    prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec(one, 1..3)]
}

/// The accounts as the log has them.
fn folded(store: &FakeStore) -> HashMap<StreamId, Account> {
    let mut accounts: HashMap<StreamId, Account> = HashMap::new();
    for event in store.events() {
        let payload = AccountEvent::from_stored(&event.event_type, &event.data).unwrap();
        let before = accounts.remove(&event.stream);
        accounts.insert(event.stream, Account::evolve(before, &payload).unwrap());
    }
    accounts
}

/// Runs a history: in each round, both processes get all of it at once.
async fn run_history(rounds: Vec<(Vec<Attempt>, Vec<Fate>)>) {
    let store = Arc::new(FakeStore::new());
    let processes = [Process::running(&store), Process::running(&store)];
    for number in 1..4 {
        processes[0].execute(open(number)).await.unwrap().result.unwrap();
    }
    // What is known of each tag: whether it must be in the log, or must not.
    let mut told: HashMap<String, Option<bool>> = HashMap::new();
    let mut number = 0;
    for (attempts, fates) in rounds {
        store.fated(fates);
        let mut submissions = Vec::new();
        for attempt in attempts {
            number += 1;
            let tag = attempt.tag(number);
            let act = attempt.act(tag.clone());
            let submission = processes[attempt.process].submit_keyed(act, attempt.request());
            submissions.push((tag, submission));
        }
        for (tag, submission) in submissions {
            let in_log = match soon(submission.outcome()).await {
                Ok(outcome) => Some(outcome.result.is_ok()),
                Err(CommandError::OutcomeUnknown(_)) => None,
                Err(CommandError::Unavailable(_) | CommandError::Contended) => Some(false),
                Err(error) => panic!("{error}"),
            };
            // An attempt that failed says nothing against one with the same key that did not.
            let known = told.entry(tag).or_insert(in_log);
            *known = if *known == Some(false) { in_log } else { *known };
        }
    }
    let events = store.events();
    for (tag, in_log) in told {
        let quoted = format!("\"{tag}\"");
        let own = events.iter().filter(|e| e.event_type != "TransferReceived");
        let times = own.filter(|event| event.data.text().contains(&quoted)).count();
        assert!(times <= 1, "{tag} happened {times} times");
        assert!(in_log.is_none_or(|in_log| in_log == (times == 1)), "{tag}: {in_log:?}, {times}");
    }
    for (stream, account) in folded(&store) {
        assert!(!account.balance.is_negative(), "{stream}: {}", account.balance.amount());
        let row = AccountRepository::find(&*store, &[account.id]).await.unwrap();
        assert_eq!(row, [account]);
    }
}

proptest! {
    #[test]
    fn whatever_fails_and_whoever_else_writes_the_log_has_what_was_acknowledged_and_no_more(
        rounds in prop::collection::vec((prop::collection::vec(attempt(), 1..8), fate()), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(run_history(rounds));
    }
}
