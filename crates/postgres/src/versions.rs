//! What a transaction changed, by the version table.

use larder::Version;
use sqlx::Row;

use crate::database::{Database, Transaction};
use crate::statement::{Purpose, Statement};

/// A cached key whose value a transaction changed, and the version it gets by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The cache namespace.
    pub namespace: String,
    /// The key within it.
    pub key: String,
    /// The version that readers will see once the transaction has committed.
    pub version: Version,
}

const CHANGES: &str = "
    SELECT v.namespace, v.key, v.version, e.epoch
    FROM larder.versions v
    JOIN larder.epochs e ON e.namespace = v.namespace
    WHERE v.txid = pg_current_xact_id()
    ORDER BY v.namespace, v.key";

const STATEMENT: Statement = Statement {
    namespace: "",
    purpose: Purpose::Write,
    operation: "SELECT",
    collection: "larder.versions",
};

/// Every key that `transaction` has changed so far. Call it last, before the commit.
///
/// It costs one statement, which is counted as a write.
///
/// # Errors
///
/// When the statement fails.
pub async fn changes(transaction: &mut Transaction<'_>) -> Result<Vec<Change>, sqlx::Error> {
    let rows = sqlx::query(CHANGES).fetch_all(transaction.counted(STATEMENT)).await?;
    rows.iter()
        .map(|row| {
            let (epoch, counter): (i32, i64) = (row.try_get("epoch")?, row.try_get("version")?);
            Ok(Change {
                namespace: row.try_get("namespace")?,
                key: row.try_get("key")?,
                // Both columns are CHECKed to be positive.
                version: Version::new(epoch.unsigned_abs(), counter.unsigned_abs()),
            })
        })
        .collect()
}

const ADOPT: Statement = Statement {
    namespace: "",
    purpose: Purpose::Admin,
    operation: "SELECT",
    collection: "larder.epochs",
};

/// Declares that this process runs `namespace` under `strategy` from now on, and returns the
/// namespace's epoch: entries of an older one must be ignored.
///
/// The epoch moves when the strategy is not the one adopted last, for under another strategy
/// writes may not have been invalidating.
///
/// # Errors
///
/// When the statement fails.
pub async fn adopt_strategy(
    db: &Database,
    namespace: &str,
    strategy: &str,
) -> Result<u32, sqlx::Error> {
    let epoch: i32 = sqlx::query_scalar("SELECT larder.adopt_strategy($1, $2)")
        .bind(namespace)
        .bind(strategy)
        .fetch_one(db.counted(ADOPT))
        .await?;
    // CHECKed to be positive.
    Ok(epoch.unsigned_abs())
}
