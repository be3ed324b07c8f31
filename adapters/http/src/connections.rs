//! How many connections there may be, of all, of one address and of one holder; and a few beyond that for
//! short questions, such as whether the service is well.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use daybook_application::{Block, Origin};
use daybook_events::HolderId;

use crate::origin::Proxies;
use crate::problem::{Kind, Problem};
use crate::seldom::Seldom;

/// How many connections there may be at a time.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Of all.
    pub of_all: usize,
    /// Of one address (of one /64 of IPv6) that is no trusted proxy.
    pub of_one_address: usize,
    /// Of one holder, unless they come by way of a proxy.
    pub of_one_holder: usize,
}

/// The connections there are.
#[derive(Clone, Debug)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: ConnectionLimits,
    proxies: Proxies,
    state: Mutex<State>,
    refused: Seldom,
}

#[derive(Debug, Default)]
struct State {
    open: usize,
    in_reserve: usize,
    addresses: HashMap<Block, usize>,
    addresses_in_reserve: HashMap<Block, usize>,
    holders: HashMap<HolderId, usize>,
}

/// A connection that is open; another may be in its place once it is dropped.
#[derive(Debug)]
pub(crate) struct Connection {
    connections: Connections,
    client: Client,
    is_reserve: bool,
    /// Who asked last.
    holder: Mutex<Option<HolderId>>,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    /// Speaks for many.
    Proxy,
    At(Block),
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits, proxies: Proxies) -> Self {
        let state = Mutex::default();
        Self(Arc::new(Inner { limits, proxies, state, refused: Seldom::default() }))
    }

    /// Lets someone in, if only to the reserve; `None` where there is no room for them at all.
    pub(crate) fn admit(&self, peer: IpAddr) -> Option<Arc<Connection>> {
        let client = if self.0.proxies.has(peer) {
            Client::Proxy
        } else {
            Client::At(Origin::of(peer).block())
        };
        let limits = self.0.limits;
        let mut state = self.state();
        let is_reserve = if state.open < limits.of_all
            && client.count_in(&state.addresses) < limits.of_one_address
        {
            state.open += 1;
            client.enter(&mut state.addresses);
            false
        } else if state.in_reserve < self.reserve()
            && client.count_in(&state.addresses_in_reserve) < self.reserve().div_ceil(2)
        {
            state.in_reserve += 1;
            client.enter(&mut state.addresses_in_reserve);
            true
        } else {
            let open = state.open;
            drop(state);
            self.0.refused.note(|count| {
                tracing::warn!(count, open, "connections were refused: there are too many");
            });
            return None;
        };
        drop(state);
        let (connections, holder) = (self.clone(), Mutex::default());
        Some(Arc::new(Connection { connections, client, is_reserve, holder }))
    }

    /// How many are kept for short questions.
    fn reserve(&self) -> usize {
        (self.0.limits.of_all / 16).clamp(4, 64)
    }

    /// How many are open, and how many may be.
    pub(crate) fn open(&self) -> (usize, usize) {
        (self.state().open, self.0.limits.of_all)
    }

    /// How often one was refused, or refused a holder.
    pub(crate) fn refused(&self) -> u64 {
        self.0.refused.total()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    fn count_in(self, addresses: &HashMap<Block, usize>) -> usize {
        match self {
            Self::Proxy => 0,
            Self::At(block) => addresses.get(&block).copied().unwrap_or(0),
        }
    }

    fn enter(self, addresses: &mut HashMap<Block, usize>) {
        if let Self::At(block) = self {
            *addresses.entry(block).or_default() += 1;
        }
    }

    fn leave(self, addresses: &mut HashMap<Block, usize>) {
        if let Self::At(block) = self {
            leave(addresses, &block);
        }
    }
}

/// One fewer; who has none is forgotten.
fn leave<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Connection {
    /// Whether it is for short questions alone.
    pub(crate) const fn is_reserve(&self) -> bool {
        self.is_reserve
    }

    /// A holder asks on it: it is theirs until another does.
    pub(crate) fn claim(&self, holder: HolderId) -> Result<(), Problem> {
        if matches!(self.client, Client::Proxy) {
            return Ok(());
        }
        let mut claimed = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        if *claimed == Some(holder) {
            return Ok(());
        }
        let mut state = self.connections.state();
        let count = state.holders.get(&holder).copied().unwrap_or(0);
        if count >= self.connections.0.limits.of_one_holder {
            drop(state);
            self.connections.0.refused.note(|since| {
                tracing::warn!(count = since, %holder, "a holder has too many connections");
            });
            return Err(Problem::closing(Kind::TooManyConnections));
        }
        if let Some(before) = claimed.replace(holder) {
            leave(&mut state.holders, &before);
        }
        *state.holders.entry(holder).or_default() += 1;
        Ok(())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let holder = self.holder.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let mut state = self.connections.state();
        if self.is_reserve {
            state.in_reserve -= 1;
            self.client.leave(&mut state.addresses_in_reserve);
        } else {
            state.open -= 1;
            self.client.leave(&mut state.addresses);
        }
        if let Some(holder) = holder {
            leave(&mut state.holders, &holder);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const LIMITS: ConnectionLimits =
        ConnectionLimits { of_all: 8, of_one_address: 4, of_one_holder: 2 };
    const PROXY: [u8; 4] = [10, 0, 0, 7];

    fn connections() -> Connections {
        Connections::new(LIMITS, "10.0.0.7".parse().unwrap())
    }

    /// As many as are let in, first as others and then to the reserve.
    fn admitted(of: &Connections, from: [u8; 4], tries: usize) -> [Vec<Arc<Connection>>; 2] {
        let all = (0..tries).filter_map(|_| of.admit(from.into()));
        let (reserve, others) = all.partition(|one| one.is_reserve());
        [others, reserve]
    }

    fn holder(number: u128) -> HolderId {
        HolderId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn one_address_leaves_room_for_others_and_the_reserve_for_questions() {
        let connections = connections();
        let first = admitted(&connections, [192, 0, 2, 1], 20);
        assert_eq!(first.each_ref().map(Vec::len), [4, 2]);
        let second = admitted(&connections, [192, 0, 2, 2], 20);
        assert_eq!(second.each_ref().map(Vec::len), [4, 2]);
        let third = admitted(&connections, [192, 0, 2, 3], 20);
        assert_eq!(third.each_ref().map(Vec::len), [0, 0]);
        assert_eq!(connections.open(), (8, 8));
        drop(first);
        let third = admitted(&connections, [192, 0, 2, 3], 20);
        assert_eq!(third.each_ref().map(Vec::len), [4, 2]);
        drop((second, third));
        let state = connections.state();
        assert_eq!((state.open, state.in_reserve, state.addresses.len()), (0, 0, 0));
        assert!(state.addresses_in_reserve.is_empty());
    }

    #[test]
    fn a_proxy_may_have_all_of_them() {
        let [others, _] = admitted(&connections(), PROXY, 20);
        assert_eq!(others.len(), 8);
        assert!(others.iter().all(|one| one.claim(holder(1)).is_ok()));
    }

    #[test]
    fn one_holder_has_so_many_and_gives_them_back() {
        let connections = connections();
        let [first, second, third] =
            [1, 2, 3].map(|_| connections.admit([192, 0, 2, 1].into()).unwrap());
        for _ in 0..2 {
            assert!(first.claim(holder(1)).is_ok() && second.claim(holder(1)).is_ok());
            assert!(third.claim(holder(1)).is_err());
        }
        // It is whoever's asked last.
        assert!(first.claim(holder(2)).is_ok());
        assert!(third.claim(holder(1)).is_ok());
        drop((first, second, third));
        assert!(connections.state().holders.is_empty());
    }
}
