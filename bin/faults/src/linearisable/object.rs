//! One account or order: its states, and who saw which.

use std::time::Duration;

use crate::crowd::Deed;
use crate::error::{Failure, Outcome};

/// Where an order stands; an account has no status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Status {
    #[default]
    None,
    Pending,
    Paid,
    Canceled,
}

impl Status {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Pending => "PENDING",
            Self::Paid => "PAID",
            Self::Canceled => "CANCELED",
        }
    }
}

/// What an object is like at one version.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State {
    pub(super) cents: i64,
    pub(super) status: Status,
}

/// What a refusal says of the state it saw.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wants {
    LessThan(i64),
    Status(Status),
}

impl Wants {
    fn are_met(self, state: &State) -> bool {
        match self {
            Self::LessThan(cents) => state.cents < cents,
            Self::Status(status) => state.status == status,
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Brought it to this version.
    Wrote(u64),
    /// Saw this version.
    Saw(u64),
    /// Saw some version of which this holds.
    Refused(Wants),
}

/// Something that happened to an object between two instants.
struct Happening<'a> {
    deed: &'a Deed,
    asked: Duration,
    answered: Duration,
    what: What,
}

/// An object's states by version, and what happened to it.
pub(super) struct Object<'a> {
    name: String,
    states: Vec<State>,
    happenings: Vec<Happening<'a>>,
}

impl<'a> Object<'a> {
    /// `states` begins with that before the first event.
    pub(super) fn new(name: &str, states: Vec<State>) -> Self {
        Self { name: name.to_owned(), states, happenings: Vec::new() }
    }

    pub(super) fn state(&self, version: u64) -> Option<&State> {
        self.states.get(usize::try_from(version).ok()?)
    }

    pub(super) fn wrote(&mut self, deed: &'a Deed, version: u64, answered: bool) {
        let ended = if answered { deed.answered } else { Duration::MAX };
        self.happened(deed, ended, What::Wrote(version));
    }

    pub(super) fn saw(&mut self, deed: &'a Deed, version: u64) {
        self.happened(deed, deed.answered, What::Saw(version));
    }

    pub(super) fn refused(&mut self, deed: &'a Deed, wants: Wants) {
        self.happened(deed, deed.answered, What::Refused(wants));
    }

    fn happened(&mut self, deed: &'a Deed, answered: Duration, what: What) {
        self.happenings.push(Happening { deed, asked: deed.asked, answered, what });
    }

    /// Gives everything its place among the versions, each the lowest that it can have. What ended before
    /// something else began has a place before it.
    pub(super) fn check(&mut self) -> Outcome {
        self.happenings.sort_by_key(|happening| happening.asked);
        let mut by_end: Vec<usize> = (0..self.happenings.len()).collect();
        by_end.sort_by_key(|at| self.happenings.get(*at).map(|one| one.answered));
        let mut places = vec![0; self.happenings.len()];
        let (mut ended, mut lowest, mut because) = (by_end.iter().peekable(), 0, None);
        for (at, one) in self.happenings.iter().enumerate() {
            while let Some(before) = ended.peek() {
                let Some(other) = self.happenings.get(**before) else { break };
                if other.answered >= one.asked {
                    break;
                }
                let place = places.get(**before).copied().unwrap_or(0);
                if place > lowest {
                    (lowest, because) = (place, Some(other));
                }
                ended.next();
            }
            let place =
                self.place(one, lowest).ok_or_else(|| self.failure(one, lowest, because))?;
            if let Some(slot) = places.get_mut(at) {
                *slot = place;
            }
        }
        Ok(())
    }

    /// The version that something has to do with, not lower than `lowest`.
    fn place(&self, one: &Happening<'_>, lowest: u64) -> Option<u64> {
        match one.what {
            What::Wrote(version) => (version > lowest).then_some(version),
            What::Saw(version) => (version >= lowest).then_some(version),
            What::Refused(wants) => {
                let from = usize::try_from(lowest).ok()?;
                let mut states = self.states.iter().enumerate().skip(from);
                let found = states.find(|(_, state)| wants.are_met(state))?.0;
                u64::try_from(found).ok()
            }
        }
    }

    fn failure(
        &self,
        one: &Happening<'_>,
        lowest: u64,
        because: Option<&Happening<'_>>,
    ) -> Failure {
        let told = |happening: &Happening<'_>| {
            let deed = happening.deed;
            format!(
                "client {} from {:.3?} to {:.3?}: {:?}: {:?}",
                deed.client, deed.asked, deed.answered, deed.act, deed.answer
            )
        };
        let because =
            because.map_or_else(String::new, |other| format!(", as {} shows", told(other)));
        Failure::new(format!(
            "{}: has no place ({:?}): {}; by then it was at version {lowest}{because}",
            self.name,
            one.what,
            told(one)
        ))
    }
}
