//! What is no matter of a single stream.

use std::collections::{BTreeMap, HashSet};

use daybook_accounts::Email;
use daybook_application::{Check, Difference, Receipt, Rejection};
use daybook_events::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Value};
use uuid::Uuid;

use super::{MOST, PAGE, Snapshot};
use crate::entities::{checkpoint, holder};
use crate::error::Fault;
use crate::journal::{NO_HOLDER, versions};

impl Snapshot {
    pub(super) async fn gaps(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT position, before FROM (SELECT position, \
                   coalesce(lag(position) OVER (ORDER BY position), 0) AS before FROM events) AS p \
                   WHERE position <> before + 1 LIMIT $1";
        self.named(Check::Positions, sql, |row| {
            let (position, before): (i64, i64) =
                (row.try_get("", "position")?, row.try_get("", "before")?);
            Ok(format!("{position} follows {before}"))
        })
        .await
    }

    pub(super) async fn repeated_versions(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT stream, version FROM events GROUP BY stream, version \
                   HAVING count(*) > 1 LIMIT $1";
        self.named(Check::Versions, sql, |row| {
            let (stream, version): (String, i64) =
                (row.try_get("", "stream")?, row.try_get("", "version")?);
            Ok(format!("{stream} has version {version} more than once"))
        })
        .await
    }

    pub(super) async fn repeated_ids(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT id, min(position) AS one, max(position) AS other FROM events \
                   GROUP BY id HAVING count(*) > 1 LIMIT $1";
        self.named(Check::EventIds, sql, |row| {
            let id: Uuid = row.try_get("", "id")?;
            let (one, other): (i64, i64) = (row.try_get("", "one")?, row.try_get("", "other")?);
            Ok(format!("{id} is the event at position {one} and at {other}"))
        })
        .await
    }

    async fn named(
        &self,
        check: Check,
        sql: &str,
        name: impl Fn(&sea_orm::QueryResult) -> Result<String, sea_orm::DbErr>,
    ) -> Result<Vec<Difference>, Fault> {
        let most = i64::try_from(MOST).map_err(Fault::corrupt)?;
        let rows = self.rows(sql, [most.into()]).await?;
        rows.iter().map(|row| Ok(Difference::new(check, name(row)?))).collect()
    }

    /// Rows of a read model that have no stream. Where there are as many rows as were compared there
    /// are none.
    pub(super) async fn unknown_rows(
        &self,
        check: Check,
        table: &str,
        category: &str,
        compared: u64,
    ) -> Result<Vec<Difference>, Fault> {
        let count = format!("SELECT count(*) AS number FROM {table}");
        if self.number(&count).await? == compared {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT id FROM {table} WHERE id > $1 ORDER BY id LIMIT $2");
        self.without_stream(check, &sql, category).await
    }

    pub(super) async fn unknown_tasks(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT id FROM tasks WHERE id > $1 AND version > 0 ORDER BY id LIMIT $2";
        self.without_stream(Check::Tasks, sql, "task").await
    }

    async fn without_stream(
        &self,
        check: Check,
        sql: &str,
        category: &str,
    ) -> Result<Vec<Difference>, Fault> {
        let (mut found, mut after) = (Vec::new(), Uuid::nil());
        while found.len() < MOST {
            let rows = self.rows(sql, [after.into(), PAGE.into()]).await?;
            let ids: Vec<Uuid> =
                rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
            let Some(last) = ids.last() else { break };
            after = *last;
            let names: Vec<_> = ids.iter().map(|id| format!("{category}-{id}")).collect();
            let known = versions(&self.db, names.iter().map(String::as_str).collect()).await?;
            let known: HashSet<_> = known.into_iter().map(|(stream, _)| stream).collect();
            let unknown = names.iter().filter(|name| !known.contains(*name));
            found.extend(
                unknown.map(|name| Difference::new(check, format!("the log has no {name}"))),
            );
        }
        found.truncate(MOST);
        Ok(found)
    }

    /// Holders that nobody registered, and addresses that are compared by another form than theirs.
    pub(super) async fn holders(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT id FROM holders WHERE id > $1 ORDER BY id LIMIT $2";
        let mut found = self.without_stream(Check::Holders, sql, "holder").await?;
        let mut after = Uuid::nil();
        while found.len() < MOST {
            let page = holder::Entity::find()
                .filter(holder::Column::Id.gt(after))
                .order_by_asc(holder::Column::Id)
                .limit(PAGE.unsigned_abs())
                .all(&self.db)
                .await?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let wrong = page.iter().filter(|row| {
                row.email.parse::<Email>().map_or(true, |email| email.key() != row.email_key)
            });
            found.extend(wrong.map(|row| {
                let what = format!("holder-{}: the address and its comparable form differ", row.id);
                Difference::new(Check::Holders, what)
            }));
        }
        Ok(found)
    }

    /// Postings in the order of the log: those of an entry stand together, and sum to zero.
    pub(super) async fn balance(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT p.position, p.ledger, p.currency, p.amount, e.entry_id \
                   FROM postings AS p LEFT JOIN events AS e ON e.position = p.position \
                   WHERE (p.position, p.ledger) > ($1, $2) \
                   ORDER BY p.position, p.ledger LIMIT $3";
        let (mut found, mut after) = (Vec::new(), (i64::MIN, String::new()));
        let (mut entry, mut sums) = (None::<Uuid>, BTreeMap::<String, i128>::new());
        while found.len() < MOST {
            let rows =
                self.rows(sql, [after.0.into(), after.1.clone().into(), PAGE.into()]).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                after = (row.try_get("", "position")?, row.try_get("", "ledger")?);
                let of: Option<Uuid> = row.try_get("", "entry_id")?;
                if of.is_none() {
                    let what =
                        format!("the log has no event for a posting at position {}", after.0);
                    found.push(Difference::new(Check::Postings, what));
                }
                if of != entry {
                    found.extend(unbalanced(entry, &mut sums));
                    entry = of;
                }
                let amount: i64 = row.try_get("", "amount")?;
                *sums.entry(row.try_get("", "currency")?).or_default() += i128::from(amount);
            }
        }
        found.extend(unbalanced(entry, &mut sums));
        Ok(found)
    }

    /// An outcome stands where its entry ends; one without events, where the entry before it ends.
    pub(super) async fn outcomes(&self) -> Result<Vec<Difference>, Fault> {
        let sql = "SELECT o.key, o.scope, o.fingerprint, o.outcome, o.position, o.created_at, \
                   e.entry_id AS entry, n.entry_id AS next \
                   FROM outcomes AS o LEFT JOIN events AS e ON e.position = o.position \
                   LEFT JOIN events AS n ON n.position = o.position + 1 \
                   WHERE (o.key, o.scope) > ($1, $2) ORDER BY o.key, o.scope LIMIT $3";
        let (mut found, mut after) = (Vec::new(), (String::new(), NO_HOLDER));
        while found.len() < MOST {
            let values: [Value; 3] = [after.0.clone().into(), after.1.into(), PAGE.into()];
            let rows = self.rows(sql, values).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                after = (row.try_get("", "key")?, row.try_get("", "scope")?);
                let (position, created_at): (i64, i64) =
                    (row.try_get("", "position")?, row.try_get("", "created_at")?);
                let (entry, next): (Option<Uuid>, Option<Uuid>) =
                    (row.try_get("", "entry")?, row.try_get("", "next")?);
                let fingerprint: Vec<u8> = row.try_get("", "fingerprint")?;
                let outcome: String = row.try_get("", "outcome")?;
                let readable = serde_json::from_str::<Result<Receipt, Rejection>>(&outcome).is_ok();
                let wrong = match (position, entry, next) {
                    _ if !readable => "can't be read",
                    _ if fingerprint.len() != 32 => "has a fingerprint of another length",
                    _ if position < 0 => "stands before the log",
                    (1.., None, _) => "stands past the end of the log",
                    (_, Some(entry), Some(next)) if entry == next => "stands within an entry",
                    _ => continue,
                };
                // The key is its client's secret; when and where is enough to find it.
                let at = Timestamp::from_micros(created_at);
                let what = format!("the outcome of {at} at position {position} {wrong}");
                found.push(Difference::new(Check::Outcomes, what));
            }
        }
        Ok(found)
    }

    pub(super) async fn checkpoints(&self) -> Result<Vec<Difference>, Fault> {
        let head = "SELECT coalesce(max(position), 0) AS number FROM events";
        let head = i64::try_from(self.number(head).await?).map_err(Fault::corrupt)?;
        let rows = checkpoint::Entity::find().all(&self.db).await?;
        let wrong = rows.into_iter().filter(|row| !(0..=head).contains(&row.position));
        Ok(wrong
            .map(|row| {
                let what = format!("{} is at {}, the log ends at {head}", row.reader, row.position);
                Difference::new(Check::Checkpoints, what)
            })
            .collect())
    }
}

/// What the postings of an entry come to, where that is not nothing.
fn unbalanced(entry: Option<Uuid>, sums: &mut BTreeMap<String, i128>) -> Vec<Difference> {
    let sums = std::mem::take(sums);
    let Some(entry) = entry else { return Vec::new() };
    let wrong = sums.into_iter().filter(|(_, sum)| *sum != 0);
    wrong
        .map(|(currency, sum)| {
            let what =
                format!("the postings of entry {entry} sum to {sum} minor units of {currency}");
            Difference::new(Check::Balance, what)
        })
        .collect()
}
