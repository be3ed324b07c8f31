//! How much of the service there is, and how much of it one may take.

use std::num::NonZeroUsize;
use std::sync::Arc;

use daybook_application::{StreamLimits, Tail, TailBounds};
use daybook_http::ConnectionLimits;

use crate::cli::ServeOptions;
use crate::engines::TAIL;

/// An address, and a holder, leave room for others.
pub(super) fn connection_limits(options: &ServeOptions) -> ConnectionLimits {
    let of_all = options.connections.get();
    let part = |divisor: usize| (of_all / divisor).max(1);
    ConnectionLimits {
        of_all,
        of_one_address: options.address_connections.map_or_else(|| part(2), NonZeroUsize::get),
        of_one_holder: options.holder_connections.map_or_else(|| part(4), NonZeroUsize::get),
    }
}

/// Streams leave room for short requests, and one holder's for those of others.
pub(super) fn stream_limits(options: &ServeOptions) -> StreamLimits {
    let part = |divisor: usize| (options.connections.get() / divisor).max(1);
    StreamLimits {
        of_one: options.holder_streams.map_or_else(|| part(8), NonZeroUsize::get),
        of_all: options.streams.map_or_else(|| part(2), NonZeroUsize::get),
    }
}

pub(super) fn mebibytes(mib: u32) -> usize {
    usize::try_from(mib).unwrap_or(usize::MAX).saturating_mul(1 << 20)
}

/// How the memory for those who follow the log is shared out, in bytes.
pub(super) struct Buffers {
    /// What this process committed last, and again what its subscribers were told of last.
    pub tail: usize,
    /// What is on its way to subscribers.
    pub room: usize,
}

impl Buffers {
    pub(super) fn of(mib: u32) -> Self {
        let fifth = mebibytes(mib) / 5;
        Self { tail: fifth, room: fifth.saturating_mul(3) }
    }

    pub(super) fn tail(&self) -> Arc<Tail> {
        Arc::new(Tail::new(TailBounds { events: TAIL, bytes: self.tail }))
    }
}
