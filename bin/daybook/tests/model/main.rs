//! Random commands against a model: states, refusals and money agree, whatever is asked.
//!
//! The model knows nothing of events, batches or the database: it is the rules, said again as
//! plainly as possible. A failure prints the seed; `DAYBOOK_SEED` runs it again, and
//! `DAYBOOK_COMMANDS` says how many commands there are.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod books;
mod rules;
mod subject;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use rules::{Answer, Rules};
use subject::Subject;

const COMMANDS: usize = 100_000;
/// So many are under way together: they share a commit and are decided in the order they are sent.
const WINDOW: usize = 30;
/// The process forgets everything that is not on disk, so often.
const RESTART_EVERY: usize = 10_000;

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_commands_agree_with_the_model() {
    let seed: u64 = from_environment("DAYBOOK_SEED", rand::random());
    let commands = from_environment("DAYBOOK_COMMANDS", COMMANDS);
    println!("DAYBOOK_SEED={seed} DAYBOOK_COMMANDS={commands}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("daybook.db");
    let mut subject = Subject::start(&file).await;
    let mut rules = Rules::default();
    let (mut done, mut refused, mut repeated) = (0, 0, 0);
    while done < commands {
        // What the model expects is worked out in the order of sending, and then compared.
        // A repeat ends the window: what is decided beside it on the same things is decided again,
        // after others that were sent later, and the model could not tell in which order.
        let mut window = Vec::with_capacity(WINDOW);
        while window.len() < WINDOW {
            let asked = rules.think_up(&mut random);
            let expected = rules.answer(&asked);
            let repeated = matches!(expected, Answer::Repeated(_));
            window.push((asked, expected));
            if repeated {
                break;
            }
        }
        let outcomes = join_all(window.iter().map(|(asked, _)| subject.ask(asked))).await;
        for ((asked, expected), outcome) in window.into_iter().zip(outcomes) {
            let outcome = outcome.unwrap();
            refused += usize::from(outcome.result.is_err());
            repeated += usize::from(outcome.replayed);
            match (&expected, &outcome.result) {
                (Answer::Done | Answer::Made(_), Ok(receipt)) => rules.learn(&expected, receipt),
                (Answer::Refused(rejection), Err(actual)) if rejection == actual => {}
                (Answer::Repeated(first), actual) => {
                    assert!(outcome.replayed, "seed {seed}: {asked:?} was not recognised");
                    assert_eq!(first.as_ref(), Some(actual), "seed {seed}: {asked:?}");
                }
                _ => panic!(
                    "seed {seed}, after {done}: {asked:?}: expected {expected:?}, got {:?}",
                    outcome.result
                ),
            }
            rules.remember(&asked, &outcome.result);
            done += 1;
        }
        if done % RESTART_EVERY < WINDOW {
            subject.stop().await;
            subject = Subject::start(&file).await;
        }
        if random.random_ratio(1, 50) {
            subject.compare(&rules, &mut random).await;
        }
    }
    subject.compare_all(&rules).await;
    subject.stop().await;
    books::audit(&file, &rules).await;
    println!("{done} commands, {refused} refused, {repeated} repeated; {}", rules.summary());
    assert!(refused > commands / 20 && repeated > commands / 100, "the mix has gone stale");
}
