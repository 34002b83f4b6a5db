//! The API keys that are stored: their hashes, and who may do what with them.

use catalog_domain::RepositoryError;
use larder_postgres::{Database, Purpose, Statement};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::errors::translate;

const fn statement(operation: &'static str) -> Statement {
    Statement { namespace: "", purpose: Purpose::Admin, operation, collection: "api_keys" }
}

const LIST: &str = r#"
    SELECT id, scopes, note,
        to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created,
        to_char(revoked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS revoked
    FROM api_keys
    ORDER BY created_at DESC, id"#;

/// The stored API keys. Each call is one statement, counted as [`Purpose::Admin`].
#[derive(Clone, Debug)]
pub struct ApiKeys {
    db: Database,
}

/// What a key is compared with.
#[derive(Clone)]
pub struct StoredKey {
    /// A PHC string.
    pub hash: String,
    /// `read`, `write`, `admin`.
    pub scopes: Vec<String>,
}

/// A key as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownKey {
    /// The part of it that is no secret.
    pub id: String,
    /// `read`, `write`, `admin`.
    pub scopes: Vec<String>,
    /// What it is for.
    pub note: String,
    /// When it was made (RFC 3339).
    pub created_at: String,
    /// When it was revoked, if it was.
    pub revoked_at: Option<String>,
}

/// A key that is to be stored.
#[derive(Clone, Copy)]
pub struct NewKey<'a> {
    /// 16 hexadecimal digits.
    pub id: &'a str,
    /// A PHC string.
    pub hash: &'a str,
    /// `read`, `write`, `admin`.
    pub scopes: &'a [&'a str],
    /// What it is for, 200 characters at most.
    pub note: &'a str,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredKey").field("scopes", &self.scopes).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for NewKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl ApiKeys {
    /// The keys in `db`.
    #[must_use]
    pub const fn new(db: Database) -> Self {
        Self { db }
    }

    /// The key `id`, unless it is not there or was revoked.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn find(&self, id: &str) -> Result<Option<StoredKey>, RepositoryError> {
        let sql = "SELECT hash, scopes FROM api_keys WHERE id = $1 AND revoked_at IS NULL";
        let row = sqlx::query(sql).bind(id).fetch_optional(self.db.counted(statement("SELECT")));
        let row = row.await.map_err(translate)?;
        let stored = row.map(|row| {
            Ok(StoredKey { hash: row.try_get("hash")?, scopes: row.try_get("scopes")? })
        });
        stored.transpose().map_err(translate)
    }

    /// Stores a key.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses.
    pub async fn create(&self, key: NewKey<'_>) -> Result<(), RepositoryError> {
        sqlx::query("INSERT INTO api_keys (id, hash, scopes, note) VALUES ($1, $2, $3, $4)")
            .bind(key.id)
            .bind(key.hash)
            .bind(key.scopes)
            .bind(key.note)
            .execute(self.db.counted(statement("INSERT")))
            .await
            .map_err(translate)?;
        Ok(())
    }

    /// All keys, the newest first.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn list(&self) -> Result<Vec<ShownKey>, RepositoryError> {
        let rows = sqlx::query(LIST).fetch_all(self.db.counted(statement("SELECT"))).await;
        let rows = rows.map_err(translate)?;
        rows.iter().map(shown).collect::<Result<_, _>>().map_err(translate)
    }

    /// Revokes a key, for good; whether there is such a one.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn revoke(&self, id: &str) -> Result<bool, RepositoryError> {
        let sql = "UPDATE api_keys SET revoked_at = coalesce(revoked_at, clock_timestamp())
                   WHERE id = $1";
        let done = sqlx::query(sql).bind(id).execute(self.db.counted(statement("UPDATE"))).await;
        Ok(done.map_err(translate)?.rows_affected() > 0)
    }

    /// Whether there is a key that may administer.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn any_admin(&self) -> Result<bool, RepositoryError> {
        let sql = "SELECT EXISTS (SELECT FROM api_keys
                                  WHERE 'admin' = ANY (scopes) AND revoked_at IS NULL)";
        let found = sqlx::query_scalar(sql).fetch_one(self.db.counted(statement("SELECT"))).await;
        found.map_err(translate)
    }
}

fn shown(row: &PgRow) -> Result<ShownKey, sqlx::Error> {
    Ok(ShownKey {
        id: row.try_get("id")?,
        scopes: row.try_get("scopes")?,
        note: row.try_get("note")?,
        created_at: row.try_get("created")?,
        revoked_at: row.try_get("revoked")?,
    })
}
