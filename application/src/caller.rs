//! Who asks, and how.

use daybook_events::{Fingerprint, HolderId, IdempotencyKey};
use uuid::Uuid;

/// Someone who is logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who.
    pub holder_id: HolderId,
    /// Whether configuration names them as an operator, who may see everything.
    pub operator: bool,
}

impl Caller {
    /// Whether something of `owner`'s may be shown.
    pub fn may_see(&self, owner: Option<HolderId>) -> bool {
        self.operator || owner == Some(self.holder_id)
    }

    /// The holder whose things a list is restricted to; `None` for an operator.
    pub fn restriction(&self) -> Option<HolderId> {
        (!self.operator).then_some(self.holder_id)
    }
}

/// What a request says besides its command.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Names the request in the metadata of everything it leads to.
    pub correlation_id: Option<Uuid>,
    /// The W3C trace context it came with.
    pub traceparent: Option<String>,
    /// Its idempotency key.
    pub key: Option<RequestKey>,
}

/// An idempotency key, and what it is used for.
#[derive(Clone, Debug)]
pub struct RequestKey {
    /// The key.
    pub key: IdempotencyKey,
    /// A digest of what the request asks for, however it is spelt.
    pub fingerprint: Fingerprint,
}
