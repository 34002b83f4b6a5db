//! Everything that speaks to Redis Cluster.

mod breaker;
mod connection;
mod link;
mod options;

pub(crate) use self::link::Link;
pub use self::options::{RedisOptions, RedisOptionsError};
