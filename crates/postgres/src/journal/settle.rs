//! Applying what was taken, without what cannot be applied.

use larder::{FlushOptions, Flushed, Version};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::Transaction;
use crate::statement::{Purpose, Statement};

use super::applier::{Applier, Entry, Taken};

pub(super) const fn statement(purpose: Purpose) -> Statement {
    Statement { namespace: "", purpose, operation: "SELECT", collection: "larder.journal" }
}

/// Reads a row of [`Applier::TAKE`], or of another statement with the same columns.
///
/// # Errors
///
/// When a column is not what it should be.
pub fn taken(row: &PgRow, key: String) -> Result<Taken, sqlx::Error> {
    let positions: Option<Vec<i64>> = row.try_get("positions")?;
    let operations: Option<Vec<String>> = row.try_get("operations")?;
    let times: Option<Vec<i64>> = row.try_get("times")?;
    let entries = positions.into_iter().flatten().zip(operations.into_iter().flatten());
    let entries = entries.zip(times.into_iter().flatten());
    Ok(Taken {
        key,
        standing: row.try_get("standing")?,
        entries: entries
            .map(|((position, operation), at_us)| Entry { position, operation, at_us })
            .collect(),
    })
}

/// What became of entries that were to be applied, by their positions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Those that are applied.
    pub applied: Vec<i64>,
    /// In how many changes: several entries of one key are one.
    pub changes: u64,
    /// Those that cannot be applied, one of a key at most, and why. What comes after it in its key is
    /// not applied either.
    pub refused: Vec<(i64, String)>,
}

/// Applies what the transaction has taken, by `sql`, which is [`Applier::APPLY`] or another statement
/// with the same argument and columns. Sends one statement, and further ones only where a change
/// breaks a rule.
///
/// # Errors
///
/// When a statement fails, and not through the fault of an entry: roll back then.
pub async fn apply<A: Applier>(
    applier: &A,
    sql: &'static str,
    transaction: &mut Transaction<'_>,
    taken: &[Taken],
    purpose: Purpose,
) -> Result<Outcome, sqlx::Error> {
    let (statement, outcome) = (statement(purpose), Outcome::default());
    let mut settling = Settling { applier, sql, transaction, statement, outcome };
    settling.run(taken).await?;
    Ok(settling.outcome)
}

/// Applies what the transaction has taken, and takes it off the journal.
///
/// The first entry of a key that cannot be applied is put off, or becomes a dead letter if it was
/// tried often enough; what comes after it stays in the journal. Sends one statement, and further
/// ones only where something fails.
///
/// # Errors
///
/// When a statement fails, and not through the fault of an entry: roll back then.
pub async fn settle<A: Applier>(
    applier: &A,
    transaction: &mut Transaction<'_>,
    taken: &[Taken],
    options: &FlushOptions,
    purpose: Purpose,
) -> Result<Flushed, sqlx::Error> {
    let Outcome { applied, changes, refused } =
        apply(applier, A::APPLY, transaction, taken, purpose).await?;
    let mut flushed =
        Flushed { entries: applied.len() as u64, applied: changes, ..Flushed::default() };
    if refused.is_empty() {
        return Ok(flushed);
    }
    let (positions, errors): (Vec<i64>, Vec<String>) = refused.into_iter().unzip();
    let rows = sqlx::query(A::FAIL)
        .bind(&positions)
        .bind(&errors)
        .bind(i32::try_from(options.attempts).unwrap_or(i32::MAX))
        .bind(options.backoff.as_secs_f64())
        .fetch_all(transaction.counted(statement(purpose)))
        .await?;
    let mut dead = std::collections::BTreeSet::new();
    for row in rows {
        dead.insert(row.try_get::<i64, _>("dead")?);
        let (epoch, counter): (i32, i64) = (row.try_get("epoch")?, row.try_get("counter")?);
        // Both columns are CHECKed to be positive.
        let version = Version::new(epoch.unsigned_abs(), counter.unsigned_abs());
        flushed.changes.push((row.try_get("namespace")?, row.try_get("key")?, version));
    }
    flushed.dead = dead.len() as u64;
    flushed.failed = positions.len() as u64 - flushed.dead;
    Ok(flushed)
}

struct Settling<'s, 'c, A> {
    applier: &'s A,
    sql: &'static str,
    transaction: &'s mut Transaction<'c>,
    statement: Statement,
    outcome: Outcome,
}

impl<A: Applier> Settling<'_, '_, A> {
    async fn run(&mut self, taken: &[Taken]) -> Result<(), sqlx::Error> {
        let mut changes = Vec::with_capacity(taken.len());
        let mut open = Vec::with_capacity(taken.len());
        for key in taken {
            let coalesced = self.applier.coalesce(key, 0, key.entries.len());
            if let (Some(refused), Some(entry)) =
                (coalesced.refused, key.entries.get(coalesced.entries))
            {
                self.outcome.refused.push((entry.position, refused));
            }
            if coalesced.entries > 0 {
                changes.push(coalesced.change);
                open.push((key, coalesced.entries));
            }
        }
        let broken = self.apply(changes).await?;
        for (key, entries) in open {
            match broken.iter().find(|(name, _)| *name == key.key) {
                None => self.note(&key.entries[..entries]),
                Some((_, error)) => self.narrow(key, entries, error.clone()).await?,
            }
        }
        Ok(())
    }

    /// Applies the `entries` of a key up to the one that breaks a rule.
    async fn narrow(
        &mut self,
        key: &Taken,
        entries: usize,
        mut error: String,
    ) -> Result<(), sqlx::Error> {
        // Those before `from` are applied, and those from there to `upto` cannot be, as a whole.
        let (mut from, mut upto) = (0, entries);
        while upto - from > 1 {
            let half = from + (upto - from) / 2;
            let change = self.applier.coalesce(key, from, half).change;
            match self.apply(vec![change]).await?.pop() {
                None => {
                    self.note(&key.entries[from..half]);
                    from = half;
                }
                Some((_, why)) => {
                    error = why;
                    upto = half;
                }
            }
        }
        // One of its later ones may have been refused before. It waits behind this one now.
        self.outcome
            .refused
            .retain(|(position, _)| key.entries.iter().all(|e| e.position != *position));
        self.outcome.refused.push((key.entries[from].position, error));
        Ok(())
    }

    fn note(&mut self, entries: &[Entry]) {
        self.outcome.applied.extend(entries.iter().map(|entry| entry.position));
        self.outcome.changes += 1;
    }

    /// Those of `changes` that break a rule of the database, by key.
    async fn apply(&mut self, changes: Vec<String>) -> Result<Vec<(String, String)>, sqlx::Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(self.sql)
            .bind(changes)
            .fetch_all(self.transaction.counted(self.statement))
            .await?;
        rows.iter().map(|row| Ok((row.try_get("key")?, row.try_get("error")?))).collect()
    }
}
