#![doc = include_str!("../README.md")]

mod cache;
mod codec;
mod coherence;
mod entry;
mod key;
mod load;
mod lookup;
mod options;
mod redis;
mod tag;
mod telemetry;
pub mod testing;
mod tier;
mod version;
mod write;

pub use cache::{Cache, CacheKey};
pub use codec::{CacheValue, Codec, CodecError, Json, MessagePack, Postcard, Schema};
pub use coherence::{
    Batch, Change, Coherence, CoherenceOptions, CoherenceOptionsError, Feed, FeedError, Place,
    RelayOptions, RelayStatus, Sabotage,
};
pub use load::{Load, LoadLimit, Overloaded, Source};
pub use lookup::{
    Freshness, GetError, Held, Inspection, Invalidation, LoadError, Loaded, Lookup, Miss,
    Publication, State, Tier,
};
pub use options::{
    CallOptions, Coalesce, Eviction, L1Options, NamespaceOptions, OptionError, UNBOUNDED_TTL,
    UnknownCoalesce, UnknownEviction,
};
pub use redis::{Lane, LaneEntry, RedisOptions, RedisOptionsError, TlsOptions};
pub use tag::Tag;
pub use telemetry::{Metrics, NamespaceStats, TierStats, Verified};
pub use tier::{L1Model, L2, MemoryTier, Position, RedisTier, TierError};
pub use version::{ParseVersionError, Version};
pub use write::{
    Base, CrashAt, CrashPoint, DeadLetter, Declined, Deferred, FlushOptions, Flushed, Journal,
    JournalError, JournalState, Journaled, Made, Mode, Overlay, ReplicatedJournal,
    ReplicatedOptions, Settled, Sink, StillRefused, Tell, UnknownMode, UnknownWhenFull,
    VolatileJournal, WhenFull, Write, WriteBehind, WriteBehindOptions, WriteBehindOptionsError,
    WriteBehindStatus, WriteError, WriteState,
};
