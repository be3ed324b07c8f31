//! What is noted of registrations, log-ins and the like: who, from where, and how it ended. No secret,
//! and no address of a holder's: they are named by their id.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use daybook_events::HolderId;

use super::Origin;

/// What is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditedAct {
    /// Someone registers.
    Registration,
    /// Someone logs in.
    LogIn,
    /// Someone logs out.
    LogOut,
    /// Someone changes their password.
    PasswordChange,
}

impl AuditedAct {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Registration, Self::LogIn, Self::LogOut, Self::PasswordChange];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Registration => "registration",
            Self::LogIn => "log_in",
            Self::LogOut => "log_out",
            Self::PasswordChange => "password_change",
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditOutcome {
    /// It was done.
    Accepted,
    /// Something was wrong: the password, or an address that was registered already.
    Refused,
    /// There were too many.
    Limited,
}

impl AuditOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Accepted, Self::Refused, Self::Limited];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Limited => "limited",
        }
    }
}

const OUTCOMES: usize = AuditOutcome::ALL.len();

/// Writes what happened to the log, under the target `audit`, and counts it.
#[derive(Clone, Debug, Default)]
pub struct AuditLog(Arc<[[AtomicU64; OUTCOMES]; AuditedAct::ALL.len()]>);

/// What is to be noted, once it is known how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Audited {
    pub log: AuditLog,
    pub act: AuditedAct,
    pub from: Origin,
}

impl AuditLog {
    /// How often each act ended in each way.
    pub fn counts(&self) -> impl Iterator<Item = (AuditedAct, AuditOutcome, u64)> {
        AuditedAct::ALL.into_iter().flat_map(move |act| {
            AuditOutcome::ALL
                .map(|outcome| {
                    let count =
                        self.counter(act, outcome).map(|count| count.load(Ordering::Relaxed));
                    (act, outcome, count.unwrap_or_default())
                })
                .into_iter()
        })
    }

    fn counter(&self, act: AuditedAct, outcome: AuditOutcome) -> Option<&AtomicU64> {
        self.0.get(act as usize)?.get(outcome as usize)
    }
}

impl Audited {
    /// Notes how it ended, for whom it is known to have.
    pub(crate) fn note(&self, outcome: AuditOutcome, holder: Option<HolderId>) {
        if let Some(counter) = self.log.counter(self.act, outcome) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        let (act, from, ended) = (self.act.as_str(), self.from, outcome.as_str());
        let holder = holder.map_or_else(|| "unknown".to_owned(), |id| id.to_string());
        match outcome {
            AuditOutcome::Accepted | AuditOutcome::Refused => {
                tracing::info!(target: "audit", act, outcome = ended, %holder, %from, "audit");
            }
            // A flood of them is counted, and not a flood of the log.
            AuditOutcome::Limited => {
                tracing::debug!(target: "audit", act, outcome = ended, %holder, %from, "audit");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_counted() {
        let log = AuditLog::default();
        let from = Origin::UNKNOWN;
        let audited = Audited { log: log.clone(), act: AuditedAct::LogIn, from };
        audited.note(AuditOutcome::Refused, None);
        audited.note(AuditOutcome::Refused, None);
        audited.note(AuditOutcome::Limited, None);
        let counts: Vec<_> = log.counts().filter(|(.., count)| *count > 0).collect();
        assert_eq!(
            counts,
            [
                (AuditedAct::LogIn, AuditOutcome::Refused, 2),
                (AuditedAct::LogIn, AuditOutcome::Limited, 1)
            ]
        );
    }
}
