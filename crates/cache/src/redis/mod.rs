//! Everything that speaks to Redis Cluster.

mod breaker;
mod connection;
mod link;
mod options;
mod shards;
mod subscription;

pub(crate) use self::link::Link;
pub use self::options::{RedisOptions, RedisOptionsError, TlsOptions};

/// Where scripts tell which key has changed that somebody waits for.
pub(crate) const WAKE_CHANNEL: &str = "larder:wake";
