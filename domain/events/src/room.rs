//! How much a worker can take on.

use std::collections::HashMap;

use crate::TaskKind;

/// How many tasks a worker has room for: in all, and of the kinds that have a limit of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    tasks: u32,
    kinds: HashMap<TaskKind, u32>,
}

impl Room {
    /// Room for so many tasks of any kind.
    pub fn of(tasks: u32) -> Self {
        Self { tasks, kinds: HashMap::new() }
    }

    /// The same, but for at most so many of this kind.
    #[must_use]
    pub fn with_at_most(mut self, tasks: u32, kind: TaskKind) -> Self {
        self.kinds.insert(kind, tasks);
        self
    }

    /// How many tasks there is room for in all.
    pub const fn tasks(&self) -> u32 {
        self.tasks
    }

    /// Whether there is room for a task of this kind.
    pub fn has(&self, kind: &TaskKind) -> bool {
        self.tasks > 0 && self.kinds.get(kind).is_none_or(|left| *left > 0)
    }

    /// The kinds that there is no room for.
    pub fn full_kinds(&self) -> impl Iterator<Item = &TaskKind> {
        self.kinds.iter().filter(|(_, left)| **left == 0).map(|(kind, _)| kind)
    }

    /// Takes the room for a task of this kind; answers whether there was any.
    pub fn take(&mut self, kind: &TaskKind) -> bool {
        if !self.has(kind) {
            return false;
        }
        self.tasks -= 1;
        if let Some(left) = self.kinds.get_mut(kind) {
            *left -= 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_in_all_and_by_kind() {
        let text = TaskKind::text();
        let Ok(mail) = TaskKind::SEND_EMAIL.parse::<TaskKind>() else { panic!("no kind") };
        let mut room = Room::of(3).with_at_most(1, mail.clone());
        assert!(room.take(&mail));
        assert!(!room.take(&mail));
        assert_eq!(room.full_kinds().collect::<Vec<_>>(), [&mail]);
        assert!(room.take(&text) && room.take(&text));
        assert!(!room.take(&text) && !room.has(&mail));
        assert_eq!(room.tasks(), 0);
    }
}
