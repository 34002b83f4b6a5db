//! What is checked before anything starts, and what is kept from sight.

use std::fmt;

use catalog_domain::View;
use larder::{Mode, RedisOptionsError};
use larder_postgres::{Database, DatabaseError, DatabaseOptions};

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
        self.tls()?;
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
            ("server.client_request_timeout_ms", self.server.client_request_timeout_ms),
            ("server.client_disconnect_timeout_ms", self.server.client_disconnect_timeout_ms),
            ("server.keep_alive_ms", self.server.keep_alive_ms),
            ("server.max_connections", self.server.max_connections as u64),
            ("server.shutdown_timeout_ms", self.server.shutdown_timeout_ms),
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
        let database = |url: &str, options: &DatabaseOptions| {
            Database::check(options).map_err(|error| match error {
                DatabaseError::Url(error) => ConfigError::value(url, error.to_string()),
                DatabaseError::Option { option: "url", reason } => ConfigError::value(url, reason),
                DatabaseError::Option { option, reason } => refused("database", option, reason),
            })
        };
        database("database.url", &self.database_options())?;
        if let Some(feed) = self.feed_database_options() {
            database("database.feed_url", &feed)?;
        }
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

/// Of a database's URL, what says how TLS is done, and is no secret.
const SHOWN: [&str; 4] = ["sslmode", "sslrootcert", "sslcert", "sslkey"];

/// `scheme://user:***@host/path?name=***`: of what follows the question mark, only how TLS is done
/// is shown. Of one that can be read in two ways, only the scheme is; of what is no URL, an address alone.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        let is_address = !url.contains(|c: char| "@=".contains(c) || c.is_whitespace());
        return if is_address { url.to_owned() } else { "***".to_owned() };
    };
    // Is it of a password before the host that has a question mark, or of one behind it that has an @?
    if rest.split_once('?').is_some_and(|(_, query)| query.contains('@')) {
        return format!("{scheme}://***");
    }
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, rest),
    };
    let user = user.map(|user| match user.split_once(':') {
        Some((name, _)) => format!("{name}:***@"),
        None => format!("{user}@"),
    });
    let (place, query) = host.split_once('?').map_or((host, None), |(p, q)| (p, Some(q)));
    let query = query.map(|query| {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, _)) if !SHOWN.contains(&name) => format!("{name}=***"),
            _ => pair.to_owned(),
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{}{place}{}", user.unwrap_or_default(), query.unwrap_or_default())
}

impl fmt::Debug for Config {
    /// As it may be shown: nothing that prints a configuration prints its secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&toml::to_string(&self.masked()).map_err(|_| fmt::Error)?)
    }
}
