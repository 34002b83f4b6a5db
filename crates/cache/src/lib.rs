#![doc = include_str!("../README.md")]

mod cache;
mod codec;
mod entry;
mod key;
mod load;
mod lookup;
mod options;
mod redis;
mod telemetry;
mod tier;
mod version;

pub use cache::Cache;
pub use codec::{CacheValue, Codec, CodecError};
pub use load::{LoadLimit, Overloaded};
pub use lookup::{Fill, Hit, Invalidation, Loaded, Lookup, Miss, Tier};
pub use options::{NamespaceOptions, OptionError, UNBOUNDED_TTL};
pub use redis::{RedisOptions, RedisOptionsError};
pub use telemetry::{Metrics, NamespaceStats};
pub use tier::{L2, MemoryTier, RedisTier, TierError};
pub use version::{ParseVersionError, Version};
