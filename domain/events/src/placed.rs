//! Things in the order of the log.

use crate::Position;

/// A thing, and where in the log its first event stands. Lists are in that order: ids and instants
/// come from the clocks of many processes, which may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// The position of its first event.
    pub position: Position,
    /// The thing.
    pub thing: T,
}
