//! `[feed]`

use std::time::Duration;

use larder::{CoherenceOptions, CoherenceOptionsError, RelayOptions, Sabotage};
use larder_postgres::FeedOptions;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// For how long a process has the right to relay; when it dies, another one takes over after
/// that.
const LEASE: Duration = Duration::from_secs(3);

/// `[feed]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// Whether this process is one of those that relay what was committed.
    pub enabled: bool,
    /// Which Redis Cluster this is, where several share a database.
    pub region: String,
    /// How often the database is asked when no doorbell rings.
    pub poll_ms: u64,
    /// How long L1 is used after the backplane was last heard.
    pub bound_ms: u64,
    /// Changed keys of a namespace at once, beyond which it is cleared.
    pub clear_above: usize,
    /// Changes that wait for a shard at most.
    pub backlog: usize,
    /// How far back changes are told again after a failover.
    pub replay_ms: u64,
    /// For the verifier's own tests: a promise to break.
    #[serde(skip)]
    pub sabotage: Sabotage,
}

impl Default for FeedConfig {
    fn default() -> Self {
        let CoherenceOptions { bound, relay, sabotage } = CoherenceOptions::default();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            enabled: true,
            region: "main".to_owned(),
            poll_ms: millis(relay.poll),
            bound_ms: millis(bound),
            clear_above: relay.clear_above,
            backlog: relay.backlog,
            replay_ms: millis(relay.replay),
            sabotage,
        }
    }
}

impl FeedConfig {
    /// How coherence is kept.
    ///
    /// # Errors
    ///
    /// Names the key whose value cannot work.
    pub fn options(&self) -> Result<CoherenceOptions, ConfigError> {
        if self.region.is_empty() || self.region.contains('/') {
            let reason = "must be a name without a slash";
            return Err(ConfigError::value("feed.region", reason));
        }
        let options = CoherenceOptions {
            bound: Duration::from_millis(self.bound_ms),
            relay: RelayOptions {
                poll: Duration::from_millis(self.poll_ms),
                clear_above: self.clear_above,
                backlog: self.backlog,
                replay: Duration::from_millis(self.replay_ms),
            },
            sabotage: self.sabotage,
        };
        options.validate().map_err(|CoherenceOptionsError { option, reason }| {
            let key = match option {
                "poll" | "bound" | "replay" => format!("feed.{option}_ms"),
                _ => format!("feed.{option}"),
            };
            ConfigError::value(key, reason)
        })?;
        Ok(options)
    }

    /// How the right to relay is taken.
    #[must_use]
    pub fn lease(&self) -> FeedOptions {
        FeedOptions { lease: LEASE }
    }
}
