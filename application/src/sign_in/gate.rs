//! Turns at something that only a few can do at a time, shared out among those who want it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::origin::Block;

/// How long anyone is to wait at most: that many wait as are done in this time. How long the others of a
/// client are in line does not matter to who comes from elsewhere.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// The fewest who may wait, however slow it is.
const FEWEST_WAITING: usize = 4;
/// What a turn takes before any has been measured.
const FIRST_GUESS: Duration = Duration::from_millis(50);

/// Lets a few in at a time. Of those who wait, one of each client goes in turn; where too many wait, it is
/// the client with the most who has to go.
#[derive(Debug)]
pub(super) struct Gate {
    at_once: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    inside: usize,
    waiting: usize,
    queues: HashMap<Block, VecDeque<oneshot::Sender<Turn>>>,
    /// Whose turn it is next.
    turns: VecDeque<Block>,
    /// How long a turn takes, of late.
    takes: Duration,
}

/// Too many wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// Whether it is this client who has the most of them.
    pub by_own: bool,
    /// When to come back.
    pub wait: Duration,
}

/// Someone is in; the next goes in when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    /// None of a turn that was not taken.
    gate: Option<Arc<Gate>>,
    since: Instant,
}

impl Gate {
    pub(super) fn new(at_once: usize) -> Self {
        let state = State {
            inside: 0,
            waiting: 0,
            queues: HashMap::new(),
            turns: VecDeque::new(),
            takes: FIRST_GUESS,
        };
        Self { at_once: at_once.max(1), state: Mutex::new(state) }
    }

    /// Waits for a turn.
    pub(super) async fn enter(self: &Arc<Self>, client: Block) -> Result<Turn, Full> {
        let waits = {
            let mut state = self.state();
            if state.inside < self.at_once && state.waiting == 0 {
                state.inside += 1;
                return Ok(self.turn());
            }
            state.make_room(self.at_once, client)?;
            let (sender, receiver) = oneshot::channel();
            let queue = state.queues.entry(client).or_default();
            queue.push_back(sender);
            if queue.len() == 1 {
                state.turns.push_back(client);
            }
            state.waiting += 1;
            receiver
        };
        // Who is sent away had the most of them.
        waits.await.map_err(|_| Full { by_own: true, wait: self.state().wait(self.at_once) })
    }

    fn turn(self: &Arc<Self>) -> Turn {
        Turn { gate: Some(Arc::clone(self)), since: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Someone has gone: lets the next one in who is still there.
    fn pass_on(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(next) = state.next() else {
                state.inside -= 1;
                return;
            };
            drop(state);
            match next.send(self.turn()) {
                Ok(()) => return,
                // They don't wait any more: the turn is the next one's.
                Err(mut unused) => unused.gate = None,
            }
        }
    }
}

impl State {
    /// Makes sure that one more may wait, who is this client's.
    fn make_room(&mut self, at_once: usize, client: Block) -> Result<(), Full> {
        let nanos = self.takes.as_nanos().max(1);
        let fit = usize::try_from(LONGEST_WAIT.as_nanos() / nanos).unwrap_or(usize::MAX);
        if self.waiting < fit.saturating_mul(at_once).max(FEWEST_WAITING) {
            return Ok(());
        }
        let own = self.queues.get(&client).map_or(0, VecDeque::len);
        let longest = self.queues.iter().max_by_key(|(_, queue)| queue.len());
        let Some((longest, length)) = longest.map(|(client, queue)| (*client, queue.len())) else {
            return Ok(());
        };
        if own + 1 >= length {
            return Err(Full { by_own: own > 0, wait: self.wait(at_once) });
        }
        if let Some(queue) = self.queues.get_mut(&longest) {
            queue.pop_back();
            self.waiting -= 1;
        }
        Ok(())
    }

    /// Who is next: one of each client in turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let client = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&client)?;
        let next = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&client);
        } else {
            self.turns.push_back(client);
        }
        self.waiting -= 1;
        next
    }

    /// Until those who wait now have gone.
    fn wait(&self, at_once: usize) -> Duration {
        let waiting = u32::try_from(self.waiting / at_once).unwrap_or(u32::MAX);
        self.takes.saturating_mul(waiting)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(gate) = self.gate.take() else { return };
        let took = self.since.elapsed();
        {
            let mut state = gate.state();
            state.takes = (state.takes * 7 + took) / 8;
        }
        gate.pass_on();
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use futures_util::FutureExt;

    use super::*;
    use crate::Origin;

    fn client(number: u8) -> Block {
        Origin::of(IpAddr::from([192, 0, 2, number])).block()
    }

    const TAKES: Duration = Duration::from_millis(100);

    /// Those who enter, in order, as the flood's `flood` come first and then one of each other client.
    async fn order_of(flood: usize, others: u8) -> Vec<Result<u8, bool>> {
        let gate = Arc::new(Gate::new(1));
        gate.state().takes = TAKES;
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        let first = gate.enter(client(0)).await.unwrap();
        let mut all = Vec::new();
        for number in std::iter::repeat_n(0, flood).chain(1..=others) {
            let (gate, told) = (Arc::clone(&gate), told.clone());
            all.push(tokio::spawn(async move {
                let entered = gate.enter(client(number)).await;
                told.send(entered.as_ref().map(|_| number).map_err(|full| full.by_own)).unwrap();
                if entered.is_ok() {
                    tokio::time::sleep(TAKES).await;
                }
            }));
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(TAKES).await;
        drop((first, told));
        for one in all {
            one.await.unwrap();
        }
        let mut seen = Vec::new();
        while let Some(one) = order.recv().await {
            seen.push(one);
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn one_of_each_client_goes_in_turn() {
        let order = order_of(10, 3).await;
        let first: Vec<_> = order.iter().take(5).copied().collect();
        assert_eq!(first, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(0)]);
        assert_eq!(order.len(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_are_done_in_five_seconds_and_the_flood_makes_room() {
        let order = order_of(100, 5).await;
        let (entered, away): (Vec<_>, Vec<_>) = order.iter().partition(|one| one.is_ok());
        assert_eq!(entered.len(), 50);
        for other in 1..=5 {
            assert!(entered.contains(&&Ok(other)), "{other} was sent away");
        }
        assert!(away.iter().all(|one| **one == Err(true)), "it was told that others do it");
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_have_as_many_the_last_is_sent_away() {
        let order = order_of(1, 60).await;
        assert_eq!(order.iter().filter(|one| **one == Err(false)).count(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_holds_nobody_up() {
        let gate = Arc::new(Gate::new(1));
        let first = gate.enter(client(0)).await.unwrap();
        for number in 0..3 {
            assert!(gate.enter(client(number)).now_or_never().is_none());
        }
        let last = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(client(7)).await.is_ok() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(last.await.unwrap());
        tokio::task::yield_now().await;
        assert!(gate.enter(client(8)).now_or_never().unwrap().is_ok(), "a turn was lost");
        let state = gate.state();
        assert_eq!((state.inside, state.waiting, state.queues.len()), (0, 0, 0));
    }
}
