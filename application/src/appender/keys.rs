//! Idempotency keys: what is remembered under one, and what whoever comes with it again is told.

use std::collections::HashSet;

use daybook_events::{IdempotencyRecord, StoredOutcome};

use super::Waiting;
use crate::{CommandError, Outcome, Receipt, Rejection};

/// Commands that share an idempotency key are not decided in the same batch: the second is to
/// find the outcome of the first.
pub(super) fn one_of_each_key(batch: Vec<Waiting>) -> (Vec<Waiting>, Vec<Waiting>) {
    let mut seen = HashSet::new();
    batch.into_iter().partition(|waiting| match &waiting.request.key {
        Some(key) => seen.insert((waiting.command.key_scope(), key.key.clone())),
        None => true,
    })
}

pub(super) fn remembered(
    waiting: &Waiting,
    result: &Result<Receipt, Rejection>,
) -> Result<Option<IdempotencyRecord>, serde_json::Error> {
    let of_input = result.as_ref().is_err_and(Rejection::is_of_input);
    let Some(key) = waiting.request.key.as_ref().filter(|_| !of_input) else { return Ok(None) };
    Ok(Some(IdempotencyRecord {
        scope: waiting.command.key_scope(),
        key: key.key.clone(),
        fingerprint: key.fingerprint,
        outcome: serde_json::to_string(result)?,
    }))
}

pub(super) fn replayed(waiting: &Waiting, stored: &StoredOutcome) -> Result<Outcome, CommandError> {
    if waiting.request.key.as_ref().map(|key| key.fingerprint) != Some(stored.fingerprint) {
        return Err(CommandError::KeyReused);
    }
    let result =
        serde_json::from_str(&stored.outcome).map_err(|e| CommandError::Corrupt(e.to_string()))?;
    Ok(Outcome { result, position: stored.position, replayed: true })
}
