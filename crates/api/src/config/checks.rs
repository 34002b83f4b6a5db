//! What is checked before anything starts, and what is kept from sight.

use catalog_domain::View;
use larder::{Mode, RedisOptionsError};
use larder_postgres::{Database, DatabaseError};

use super::ConfigError;
use super::settings::Config;

/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 16;

impl Config {
    /// The configuration as it may be shown: passwords are masked.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        shown.database.url = mask(&self.database.url);
        shown.database.feed_url = mask(&self.database.feed_url);
        shown.database.admin_url = mask(&self.database.admin_url);
        shown.redis.nodes = self.redis.nodes.iter().map(|node| mask(node)).collect();
        shown.telemetry.otlp_endpoint = mask(&self.telemetry.otlp_endpoint);
        if !self.server.admin_key.is_empty() {
            shown.server.admin_key = "***".to_owned();
        }
        shown
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.address()?;
        self.is_production()?;
        self.telemetry_options()?;
        self.verify.validate()?;
        self.feed.options()?;
        self.write_behind.options()?;
        if self.write_behind.mode()? == Mode::Replicated {
            if self.write_behind.min_replicas == 0 {
                let reason = "must be at least 1: a write is acknowledged when replicas have it";
                return Err(ConfigError::value("write_behind.min_replicas", reason));
            }
            if self.redis.read_only {
                let reason = "write_behind.mode = \"replicated\" keeps writes in Redis";
                return Err(ConfigError::value("redis.read_only", reason));
            }
        }
        for view in View::ALL {
            self.namespace(view)?;
        }
        if self.cache.environment.trim().is_empty() {
            return Err(ConfigError::value("cache.environment", "must not be empty"));
        }
        for (key, value) in [
            ("server.max_body_bytes", self.server.max_body_bytes as u64),
            ("server.request_deadline_ms", self.server.request_deadline_ms),
            ("server.key_memory_ms", self.server.key_memory_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::value(key, "must be at least 1"));
            }
        }
        if (1..SHORTEST_KEY).contains(&self.server.admin_key.len()) {
            let reason = format!("must have at least {SHORTEST_KEY} characters, or none");
            return Err(ConfigError::value("server.admin_key", reason));
        }
        Database::check(&self.database_options()).map_err(|error| match error {
            DatabaseError::Url(error) => ConfigError::value("database.url", error.to_string()),
            DatabaseError::Option { option, reason } => refused("database", option, reason),
        })?;
        self.redis_options()?.check().map_err(|error| match error {
            RedisOptionsError::Nodes(error) => ConfigError::value("redis.nodes", error.to_string()),
            RedisOptionsError::Option { option: "tls" | "tls.authorities", reason } => {
                ConfigError::value("redis.ca_file", reason)
            }
            RedisOptionsError::Option { option, reason } => refused("redis", option, reason),
        })
    }
}

/// An option that a library refused, by its key here, where times are in milliseconds.
fn refused(section: &str, option: &str, reason: &str) -> ConfigError {
    let unit = if option.ends_with("timeout") { "_ms" } else { "" };
    ConfigError::value(format!("{section}.{option}{unit}"), reason)
}

/// `scheme://user:***@host`.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
        None => url.to_owned(),
    }
}
