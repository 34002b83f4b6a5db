//! Making keys: for somebody, and the first one.

use catalog_domain::RepositoryError;
use catalog_repository::{ApiKeys, NewKey};
use larder_postgres::{Database, DatabaseOptions};
use thiserror::Error;

use super::scope::Scope;
use super::token;
use crate::config::{Config, ConfigError};

/// Characters of a note at most.
pub(crate) const LONGEST_NOTE: usize = 200;

/// Why a key was not made.
#[derive(Debug, Error)]
pub enum KeyError {
    /// What was asked for cannot be.
    #[error("{field}: {reason}")]
    Field {
        /// Which part of it.
        field: &'static str,
        /// Why not.
        reason: String,
    },
    /// It cannot be stored.
    #[error("database: {0} (has the schema been migrated? `catalog-api migrate`)")]
    Database(#[from] RepositoryError),
    /// It cannot be made.
    #[error("a key cannot be made: {0}")]
    Random(String),
}

/// A key whose text is shown this once.
pub(crate) struct Fresh {
    pub(crate) id: String,
    pub(crate) text: String,
}

/// The scopes by name.
pub(crate) fn scopes(names: &[String]) -> Result<Vec<Scope>, String> {
    if names.is_empty() {
        return Err("must name at least one of read, write, admin".to_owned());
    }
    names.iter().map(|name| name.parse()).collect()
}

/// Makes a key and stores its hash.
pub(crate) async fn create(
    keys: &ApiKeys,
    scopes: &[Scope],
    note: &str,
) -> Result<Fresh, KeyError> {
    if note.chars().count() > LONGEST_NOTE {
        let reason = format!("must have at most {LONGEST_NOTE} characters");
        return Err(KeyError::Field { field: "note", reason });
    }
    if note.chars().any(char::is_control) {
        let reason = "must have no control characters".to_owned();
        return Err(KeyError::Field { field: "note", reason });
    }
    let made = tokio::task::spawn_blocking(token::make).await;
    let made = made.map_err(|error| KeyError::Random(error.to_string()))?;
    let made = made.map_err(KeyError::Random)?;
    let names: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
    keys.create(NewKey { id: &made.id, hash: &made.hash, scopes: &names, note }).await?;
    Ok(Fresh { id: made.id, text: made.text })
}

/// Makes a key as the administrator of the database, for where nobody has one yet; its text.
///
/// # Errors
///
/// When a scope is unknown, the note is too long or has control characters, or Postgres does not answer.
pub async fn make_key(admin_url: &str, names: &[String], note: &str) -> Result<String, KeyError> {
    let scopes = scopes(names).map_err(|reason| KeyError::Field { field: "scopes", reason })?;
    let unusable = |error| KeyError::Database(RepositoryError::Unavailable(Box::new(error)));
    let db = Database::new(&DatabaseOptions::new(admin_url)).map_err(unusable)?;
    Ok(create(&ApiKeys::new(db), &scopes, note).await?.text)
}

/// Sees to it that somebody can administer. Where nobody can, production refuses, and development
/// makes a key, whose text goes to standard error, not into the log.
pub(crate) async fn first(config: &Config, keys: &ApiKeys) -> Result<(), FirstKeyError> {
    if !config.server.admin_key.is_empty() || keys.any_admin().await? {
        return Ok(());
    }
    if config.is_production()? {
        let reason = "must be set where server.mode = \"production\", or there must be a key that may \
                      administer: catalog-api create-key --scopes admin";
        return Err(ConfigError::value("server.admin_key", reason).into());
    }
    let fresh = create(keys, &[Scope::Admin], "made at the first start").await?;
    eprintln!(
        "\n  There was no key that may administer, so one was made (server.mode = \"development\").\n  \
         It is shown this once:\n\n      {}\n",
        fresh.text
    );
    Ok(())
}

/// Why there is nobody who can administer.
#[derive(Debug, Error)]
pub(crate) enum FirstKeyError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl From<RepositoryError> for FirstKeyError {
    fn from(error: RepositoryError) -> Self {
        Self::Key(error.into())
    }
}
