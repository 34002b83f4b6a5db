//! Everything that speaks to Redis Cluster.

mod breaker;
mod connection;
mod evictions;
mod lane;
mod lane_books;
mod link;
mod nodes;
mod options;
mod shards;
mod stream;
mod subscription;

pub use self::lane::{Lane, LaneEntry};
pub(crate) use self::lane_books::{Look, Tries};
pub(crate) use self::link::Link;
pub(crate) use self::nodes::Histories;
pub use self::options::{RedisOptions, RedisOptionsError, TlsOptions};
pub(crate) use self::shards::slot;
pub(crate) use self::stream::StreamReader;

/// Where scripts tell which key has changed that somebody waits for.
pub(crate) const WAKE_CHANNEL: &str = "larder:wake";
