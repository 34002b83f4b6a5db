//! What is pending for a product, before a write that is applied at once.

use std::time::Duration;

use catalog_domain::{ProductId, RepositoryError, Revision};
use larder_postgres::{FlushOptions, Purpose, Statement, Taken, Transaction, settle, taken};
use sqlx::Row;

use crate::errors::translate;
use crate::statements::write;

use super::CatalogueApplier;

const LOCK: Statement = write("SELECT", "products");

const SQL: &str = "
    SELECT epoch, version, standing::text AS standing, positions,
           operations::text[] AS operations, times
    FROM product_lock($1, $2, $3)";

/// Nobody waits for a second attempt: what cannot be applied now becomes a dead letter.
const AT_ONCE: FlushOptions =
    FlushOptions { entries: usize::MAX, attempts: 1, backoff: Duration::ZERO };

/// What of a product a write touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Touch {
    /// Its stock, which no other page shows.
    Stock,
    /// What other pages show of it as well.
    All,
    /// It goes.
    Gone,
}

/// Whether there was something to lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locked {
    /// The product is there, locked, and nothing is pending for it.
    There,
    /// There is no such product.
    Absent,
}

/// Locks the product and the versions that a write of `touch` will bump, compares with the expected
/// revision, and applies what is pending. One statement, if nothing is.
///
/// Call it before the transaction locks anything else but rows of `products`.
pub(crate) async fn lock(
    transaction: &mut Transaction<'_>,
    id: ProductId,
    touch: Touch,
    expected: Option<Revision>,
) -> Result<Locked, RepositoryError> {
    loop {
        let row = sqlx::query(SQL)
            .bind(id.get())
            .bind(touch != Touch::Stock)
            .bind(touch == Touch::Gone)
            .fetch_optional(transaction.counted(LOCK))
            .await
            .map_err(translate)?;
        let Some(row) = row else { return Ok(Locked::Absent) };
        let epoch: i32 = row.try_get("epoch").map_err(translate)?;
        let counter: i64 = row.try_get("version").map_err(translate)?;
        let found = Revision { epoch: epoch.unsigned_abs(), counter: counter.unsigned_abs() };
        if expected.is_some_and(|expected| expected != found) {
            return Err(RepositoryError::Moved { found });
        }
        let pending: Taken = taken(&row, super::journal_key(id)).map_err(translate)?;
        if pending.entries.is_empty() {
            return Ok(Locked::There);
        }
        let purpose = Purpose::Write;
        let flushed = settle(&CatalogueApplier, transaction, &[pending], &AT_ONCE, purpose)
            .await
            .map_err(translate)?;
        // It has to become a dead letter, and somebody holds a key that it would make newer.
        let stuck = flushed.entries + flushed.dead == 0;
        // Who expects a revision may have seen what turns out to be a dead letter now: whoever
        // flushes will set it aside, and the revision will be another.
        if stuck || (flushed.dead > 0 && expected.is_some()) {
            let busy =
                "what is pending for the product cannot be applied, and is not set aside yet";
            return Err(RepositoryError::Unavailable(busy.into()));
        }
    }
}
