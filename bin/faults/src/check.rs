//! What has to hold after every round.

use serde_json::Value;

use crate::client::Client;
use crate::crowd::{Answer, Deeds};
use crate::error::Outcome;
use crate::linearisable;
use crate::run::Tally;

/// What a failure of the history checker begins with.
pub const UNEXPLAINED: &str = "what clients were told has no explanation";

/// Checks rounds that follow each other on one log.
#[derive(Debug, Default)]
pub struct Checks {
    /// Up to here the log was looked at.
    position: u64,
}

impl Checks {
    /// Up to here the log was looked at.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// What the clients were told has one explanation, and what was acknowledged is in the log.
    ///
    /// # Errors
    /// What is not so.
    pub fn round(&mut self, deeds: &Deeds, client: &Client, tally: &mut Tally) -> Outcome {
        let path = format!("/events?limit=1000&after={}", self.position);
        let log: Vec<Value> = client.clone().pages(&path)?;
        let explained = linearisable::check(deeds, &log);
        let explained = explained.map_err(|failure| failure.at(UNEXPLAINED))?;
        tally.add("accounts and orders explained", explained);
        let last = log.last().and_then(|event| event.get("position")?.as_u64());
        self.position = last.unwrap_or(self.position);
        tally.add("commands acknowledged", deeds.acknowledged());
        let seen = |deed: &crate::crowd::Deed| match &deed.answer {
            Answer::Log { events, .. } => events.len(),
            _ => 0,
        };
        tally.add("events seen by readers", deeds.all.iter().map(seen).sum());
        let refused = |deed: &&crate::crowd::Deed| matches!(deed.answer, Answer::Refused(_));
        tally.add("refused by a rule", deeds.all.iter().filter(refused).count());
        tally.add("answers lost or not given", deeds.interruptions);
        tally.time("answers", deeds.longest);
        Ok(())
    }
}
