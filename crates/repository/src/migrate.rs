//! The schema: Larder's own and the catalogue's.

use sqlx::migrate::{Migrate, Migrator};
use sqlx::{Connection, PgConnection};
use thiserror::Error;

static MIGRATOR: Migrator = sqlx::migrate!("../../migrations");

/// Why the schema could not be brought up to date.
#[derive(Debug, Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error("cannot connect to the database: {0}")]
    Connect(#[from] sqlx::Error),
    /// A migration failed, or was changed after it ran.
    #[error("migration: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Applies what is missing, as the database's administrator.
///
/// # Errors
///
/// When the database cannot be reached, or a migration fails.
pub async fn migrate(admin_url: &str) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(admin_url).await?;
    MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// How many migrations this program has that the database has not.
///
/// # Errors
///
/// When the database cannot be reached, or [`migrate`] would refuse it: a migration was changed after
/// it ran, or this program does not know it.
pub async fn pending_migrations(admin_url: &str) -> Result<usize, MigrateError> {
    let mut connection = PgConnection::connect(admin_url).await?;
    connection.ensure_migrations_table(&MIGRATOR.table_name).await?;
    let applied = connection.list_applied_migrations(&MIGRATOR.table_name).await?;
    connection.close().await?;
    for migration in &applied {
        let version = migration.version;
        let known = MIGRATOR.iter().find(|known| known.version == version);
        let known = known.ok_or(sqlx::migrate::MigrateError::VersionMissing(version))?;
        if known.checksum != migration.checksum {
            return Err(sqlx::migrate::MigrateError::VersionMismatch(version).into());
        }
    }
    Ok(MIGRATOR.iter().count().saturating_sub(applied.len()))
}
