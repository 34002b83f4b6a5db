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
    let mut settling = Settling {
        applier,
        transaction,
        statement: statement(purpose),
        flushed: Flushed::default(),
        guilty: Vec::new(),
    };
    settling.run(taken).await?;
    let Settling { mut flushed, guilty, .. } = settling;
    if guilty.is_empty() {
        return Ok(flushed);
    }
    let (positions, errors): (Vec<i64>, Vec<String>) = guilty.into_iter().unzip();
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
    transaction: &'s mut Transaction<'c>,
    statement: Statement,
    flushed: Flushed,
    /// Positions of entries that cannot be applied, and why.
    guilty: Vec<(i64, String)>,
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
                self.guilty.push((entry.position, refused));
            }
            if coalesced.entries > 0 {
                changes.push(coalesced.change);
                open.push((key, coalesced.entries));
            }
        }
        let broken = self.apply(changes).await?;
        for (key, entries) in open {
            match broken.iter().find(|(name, _)| *name == key.key) {
                None => self.note(entries),
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
                    self.note(half - from);
                    from = half;
                }
                Some((_, why)) => {
                    error = why;
                    upto = half;
                }
            }
        }
        // One of its later ones may have been refused before. It waits behind this one now.
        self.guilty.retain(|(position, _)| key.entries.iter().all(|e| e.position != *position));
        self.guilty.push((key.entries[from].position, error));
        Ok(())
    }

    fn note(&mut self, entries: usize) {
        self.flushed.entries += entries as u64;
        self.flushed.applied += 1;
    }

    /// Those of `changes` that break a rule of the database, by key.
    async fn apply(&mut self, changes: Vec<String>) -> Result<Vec<(String, String)>, sqlx::Error> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(A::APPLY)
            .bind(changes)
            .fetch_all(self.transaction.counted(self.statement))
            .await?;
        rows.iter().map(|row| Ok((row.try_get("key")?, row.try_get("error")?))).collect()
    }
}
