//! Writing a batch of which the database refuses something: all but that is written.

use std::collections::HashMap;
use std::ops::Range;

use daybook_application::Row;
use daybook_events::Entry;
use sea_orm::{ConnectionTrait, DatabaseBackend, DatabaseTransaction};

use super::plan::{Plan, Stored};
use super::rows::Tables;
use crate::error::Fault;

/// How many pieces of a batch are tried at most. What is not known by then is decided again, in a
/// batch that is without those that were found.
const TRIES: u32 = 64;

/// Entries of a batch, by their number, that are not written whatever they expect.
#[derive(Default)]
pub(super) struct LeftOut {
    /// What the database has against each.
    pub refused: HashMap<usize, String>,
    /// From here on none was tried.
    pub untried: Option<usize>,
}

/// Looks for what is refused: a piece that can't be written is halved, down to the entry.
pub(super) struct Isolation {
    left_out: LeftOut,
    /// Before this entry all are written, but for those that are refused.
    written: usize,
    /// What is to be tried, the first piece last.
    pieces: Vec<Range<usize>>,
    tries: u32,
}

impl Isolation {
    pub(super) fn of(batch: &[Entry<Row>]) -> Self {
        let pieces = std::iter::once(0..batch.len()).collect();
        Self { left_out: LeftOut::default(), written: 0, pieces, tries: TRIES }
    }

    /// Writes what can be written, in this transaction; `None` where a refusal has ended the
    /// transaction, and it goes on in another.
    pub(super) async fn write(
        &mut self,
        db: &DatabaseTransaction,
        stored: &Stored<'_>,
        batch: &[Entry<Row>],
    ) -> Result<Option<Plan>, Fault> {
        if self.written > 0 {
            let plan = stored.plan(batch, &self.left_out);
            Tables::of(batch, &plan, 0..self.written)?.insert(db).await?;
        }
        while let Some(piece) = self.pieces.pop() {
            if self.tries == 0 {
                self.left_out.untried = Some(piece.start);
                break;
            }
            self.tries -= 1;
            let plan = stored.plan(batch, &self.left_out);
            let end = piece.end;
            match attempt(db, batch, &plan, piece.clone()).await? {
                Attempt::Written => self.written = end,
                Attempt::Refused(reason) => self.refused(piece, reason),
                Attempt::Ended(reason) => {
                    self.refused(piece, reason);
                    return Ok(None);
                }
            }
        }
        Ok(Some(stored.plan(batch, &self.left_out)))
    }

    fn refused(&mut self, piece: Range<usize>, reason: String) {
        if piece.len() == 1 {
            self.left_out.refused.insert(piece.start, reason);
            self.written = piece.end;
            return;
        }
        let middle = piece.start.midpoint(piece.end);
        self.pieces.push(middle..piece.end);
        self.pieces.push(piece.start..middle);
    }
}

enum Attempt {
    Written,
    /// Nothing of it is written.
    Refused(String),
    /// Nothing of the whole transaction is.
    Ended(String),
}

async fn attempt(
    db: &DatabaseTransaction,
    batch: &[Entry<Row>],
    plan: &Plan,
    piece: Range<usize>,
) -> Result<Attempt, Fault> {
    db.execute_unprepared("SAVEPOINT piece").await?;
    let reason = match write_piece(db, batch, plan, piece).await {
        Ok(()) => {
            db.execute_unprepared("RELEASE SAVEPOINT piece").await?;
            return Ok(Attempt::Written);
        }
        Err(Fault::Refused(reason) | Fault::Corrupt(reason)) => reason,
        Err(Fault::Exists) => "a row that has to be unique is there already".to_owned(),
        Err(other) => return Err(other),
    };
    let undone = db.execute_unprepared("ROLLBACK TO SAVEPOINT piece; RELEASE SAVEPOINT piece");
    Ok(if undone.await.is_ok() { Attempt::Refused(reason) } else { Attempt::Ended(reason) })
}

async fn write_piece(
    db: &DatabaseTransaction,
    batch: &[Entry<Row>],
    plan: &Plan,
    piece: Range<usize>,
) -> Result<(), Fault> {
    Tables::of(batch, plan, piece)?.insert(db).await?;
    if db.get_database_backend() == DatabaseBackend::Postgres {
        // What would be refused at the commit is refused now.
        db.execute_unprepared("SET CONSTRAINTS ALL IMMEDIATE").await?;
    }
    Ok(())
}
