//! Everything that speaks to Redis Cluster.

mod breaker;
mod connection;
mod lane;
mod link;
mod nodes;
mod options;
mod shards;
mod stream;
mod subscription;

pub use self::lane::{Lane, LaneEntry};
pub(crate) use self::link::Link;
pub(crate) use self::nodes::Histories;
pub use self::options::{RedisOptions, RedisOptionsError, TlsOptions};
pub(crate) use self::stream::StreamReader;

/// Where scripts tell which key has changed that somebody waits for.
pub(crate) const WAKE_CHANNEL: &str = "larder:wake";
