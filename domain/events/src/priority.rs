//! Which tasks go first.

use serde::{Deserialize, Serialize};

/// How urgent a task is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// As most tasks are.
    #[default]
    Normal,
    /// When there is nothing else to do.
    Low,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 3] = [Self::High, Self::Normal, Self::Low];
    /// How many turns there are before they begin again.
    pub const TURNS: u64 = 10;

    /// The name: `high`, `normal`, `low`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
        }
    }

    /// The priority with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.as_str() == name)
    }

    /// Whose turn it is: the priorities in the order in which a worker looks for its task number
    /// `task`. Of ten tasks eight are looked for among the urgent first, one among the normal and
    /// one among the low: a worker with more urgent work than it can do still comes to the others.
    pub const fn turn(task: u64) -> [Self; 3] {
        match task % Self::TURNS {
            4 => [Self::Normal, Self::High, Self::Low],
            9 => [Self::Low, Self::High, Self::Normal],
            _ => Self::ALL,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ten_turns_eight_are_for_the_urgent_and_one_for_each_of_the_others() {
        let first = |wanted| (0..10).filter(|n| Priority::turn(*n)[0] == wanted).count();
        assert_eq!(Priority::ALL.map(first), [8, 1, 1]);
        for task in 0..10 {
            assert!(Priority::ALL.iter().all(|p| Priority::turn(task).contains(p)));
        }
    }

    #[test]
    fn a_priority_has_one_name() {
        for priority in Priority::ALL {
            assert_eq!(Priority::from_name(priority.as_str()), Some(priority));
        }
        assert_eq!(Priority::from_name("urgent"), None);
    }
}
