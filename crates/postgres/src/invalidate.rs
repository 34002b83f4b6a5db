//! Making what is cached old without changing what it is made of: for an operator.

use larder::Version;
use sqlx::Row;

use crate::database::Database;
use crate::statement::{Purpose, Statement};

const fn statement(collection: &'static str) -> Statement {
    Statement { namespace: "", purpose: Purpose::Admin, operation: "SELECT", collection }
}

/// Every value of `key` in `namespace` is old: the version that it has from now on. The change feed
/// tells it; the caller may, too, at once.
///
/// # Errors
///
/// When there is no such namespace, or the statement fails.
pub async fn invalidate_key(
    db: &Database,
    namespace: &str,
    key: &str,
) -> Result<Version, sqlx::Error> {
    version(db, "SELECT epoch, version FROM larder.invalidate($1, $2)", namespace, key).await
}

/// Every value in `namespace` that has the tag `name` is old: the version that the tag has from now
/// on. The change feed does not tell it: the caller does.
///
/// # Errors
///
/// As [`invalidate_key`].
pub async fn invalidate_tag(
    db: &Database,
    namespace: &str,
    name: &str,
) -> Result<Version, sqlx::Error> {
    version(db, "SELECT epoch, version FROM larder.invalidate_tag($1, $2)", namespace, name).await
}

/// All that is cached of `namespace` is old: its epoch from now on. The change feed tells it.
///
/// # Errors
///
/// As [`invalidate_key`].
pub async fn clear(db: &Database, namespace: &str) -> Result<u32, sqlx::Error> {
    let epoch: i32 = sqlx::query_scalar("SELECT larder.clear($1)")
        .bind(namespace)
        .fetch_one(db.counted(statement("larder.epochs")))
        .await?;
    // CHECKed to be positive.
    Ok(epoch.unsigned_abs())
}

async fn version(
    db: &Database,
    sql: &'static str,
    namespace: &str,
    name: &str,
) -> Result<Version, sqlx::Error> {
    let row = sqlx::query(sql)
        .bind(namespace)
        .bind(name)
        .fetch_one(db.counted(statement("larder.versions")))
        .await?;
    let (epoch, counter): (i32, i64) = (row.try_get("epoch")?, row.try_get("version")?);
    // Both columns are CHECKed to be positive.
    Ok(Version::new(epoch.unsigned_abs(), counter.unsigned_abs()))
}
