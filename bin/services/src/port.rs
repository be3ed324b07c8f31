//! Ports that nobody listens on.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use crate::ServiceError;

// Below the ports that systems give to outgoing connections: one of those could take the port of a server
// that is down for a moment. Low enough, too, for the second port of a Redis cluster, 10000 above.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;
const TRIES: u32 = 200;
const STARTS: u32 = 5;

/// A port of 127.0.0.1 that was free a moment ago, and that no outgoing connection takes.
///
/// # Errors
/// Where none is found.
pub fn free() -> Result<u16, ServiceError> {
    (0..TRIES)
        .map(random)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .ok_or_else(|| ServiceError::system("finding a free port")(io::ErrorKind::AddrInUse.into()))
}

/// Starts a server, and once more on other ports where one was taken in the meantime.
pub(crate) fn retry<S>(start: impl Fn() -> Result<S, ServiceError>) -> Result<S, ServiceError> {
    for _ in 1..STARTS {
        match start() {
            Err(ServiceError::PortTaken { .. }) => {}
            other => return other,
        }
    }
    start()
}

fn random(seed: u32) -> u16 {
    // Each `RandomState` has keys of its own.
    let number = RandomState::new().hash_one(seed) % u64::from(COUNT);
    FIRST + u16::try_from(number).unwrap_or_default()
}
