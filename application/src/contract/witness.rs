//! What every [`Witness`] promises. `witness` makes one, as another process of the same
//! installation has it; its identity is new to it.

use std::sync::Arc;

use daybook_events::{EventId, Head, Position, Witness};
use uuid::Uuid;

fn head(position: u64) -> Head {
    let event = EventId::from_uuid(Uuid::from_u128(u128::from(position) << 64 | 7));
    Head { position: Position::new(position), event }
}

/// Nothing is seen before anything was told.
pub async fn nothing_is_seen_at_first(witness: impl Fn() -> Arc<dyn Witness>) {
    assert_eq!(witness().seen().await.unwrap(), None);
}

/// What was told last is seen by every process, also where it is less than before.
pub async fn what_was_told_last_is_seen(witness: impl Fn() -> Arc<dyn Witness>) {
    let (one, other) = (witness(), witness());
    for position in [1, 7, i64::MAX.unsigned_abs(), 3] {
        one.tell(head(position)).await.unwrap();
        assert_eq!(other.seen().await.unwrap(), Some(head(position)));
        assert_eq!(one.seen().await.unwrap(), Some(head(position)));
    }
}
