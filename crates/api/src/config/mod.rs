//! Configuration: `larder.toml`, overridden by `LARDER__SECTION__KEY`, or by what is in the file that
//! `LARDER__SECTION__KEY_FILE` names.

mod checks;
mod defaults;
mod feed;
mod from_file;
mod merge;
mod options;
mod settings;
mod tls;
mod verify;
mod write_behind;

use std::path::Path;

use thiserror::Error;

pub use self::feed::FeedConfig;
pub use self::settings::{
    CacheConfig, Config, DatabaseConfig, NamespaceConfig, RedisConfig, ServerConfig,
    TelemetryConfig,
};
pub use self::verify::VerifyConfig;
pub use self::write_behind::WriteBehindConfig;

/// A configuration that cannot be used. The message names the key; secrets are not repeated.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: {reason}")]
    File {
        /// Which file.
        file: String,
        /// Why not.
        reason: String,
    },
    /// A key that does not exist.
    #[error("{key}: there is no such setting (from {source_name})")]
    Unknown {
        /// Its path.
        key: String,
        /// The file or variable that it is in.
        source_name: String,
    },
    /// A value that cannot be used.
    #[error("{key}: {reason}")]
    Value {
        /// The key's path.
        key: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    /// A value of `key` that cannot be used, and why.
    pub fn value(key: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { key: key.into(), reason: reason.into() }
    }
}

/// Reads `file` (a missing one is an error only if `required`) and the variables, and checks
/// the whole.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn load(
    file: &Path,
    required: bool,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let mut table = toml::Table::try_from(Config::default()).expect("defaults have a TOML form");
    match std::fs::read_to_string(file) {
        Ok(text) => merge::file(&mut table, &text, &file.display().to_string())?,
        Err(error) if required || error.kind() != std::io::ErrorKind::NotFound => {
            let (file, reason) = (file.display().to_string(), error.to_string());
            return Err(ConfigError::File { file, reason });
        }
        Err(_) => {}
    }
    // In the order of names, so that the first complaint is always the same one.
    let mut variables: Vec<_> =
        variables.filter(|(name, _)| name.starts_with(merge::PREFIX)).collect();
    variables.sort();
    for (name, value) in from_file::read(&table, &variables)? {
        merge::variable(&mut table, &name, &value)?;
    }
    let config: Config = table
        .try_into()
        .map_err(|error: toml::de::Error| ConfigError::value("settings", error.message()))?;
    config.validate()?;
    Ok(config)
}

#[cfg(test)]
mod tests;
