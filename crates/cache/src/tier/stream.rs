//! The backplane's stream, as a tier keeps it: entries in one order, each naming the one before.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use super::{L2, MemoryReader, TierError};
use crate::redis::{Histories, StreamReader};

/// How many entries a stream keeps, about. Who falls farther behind has missed something.
pub(crate) const ENTRIES_KEPT: usize = 10_000;

/// The id of a stream's entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    pub(crate) millis: u64,
    pub(crate) sequence: u64,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Posted {
    pub(crate) at: Position,
    /// The entry before it; the origin where there was none.
    pub(crate) before: Position,
    pub(crate) sender: Bytes,
    pub(crate) message: Bytes,
}

/// Where a stream ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Another one after each promotion or restart: then positions before it prove nothing.
    pub(crate) generation: String,
    pub(crate) last: Position,
}

/// Reads a stream, on a connection of its own: it waits for entries.
#[derive(Debug)]
pub(crate) enum Reader {
    Redis(Box<StreamReader>),
    Memory(MemoryReader),
}

impl Reader {
    /// Where the stream ends, asked of the node that has it now.
    pub(crate) async fn tail(&mut self) -> Result<Tail, TierError> {
        match self {
            Self::Redis(reader) => reader.tail().await,
            Self::Memory(reader) => Ok(reader.tail()),
        }
    }

    /// The entries after `after`; waits for one, not longer than `patience`.
    ///
    /// Nothing means that there was nothing when the node answered.
    pub(crate) async fn read(
        &mut self,
        after: Position,
        patience: Duration,
    ) -> Result<Vec<Posted>, TierError> {
        match self {
            Self::Redis(reader) => reader.read(after, patience).await,
            Self::Memory(reader) => Ok(reader.read(after, patience).await),
        }
    }
}

impl L2 {
    /// Appends to the stream `key`.
    pub(crate) async fn append(
        &self,
        key: &str,
        sender: &Bytes,
        message: &Bytes,
    ) -> Result<(), TierError> {
        match self {
            Self::Redis(tier) => tier.append(key, sender, message).await,
            Self::Memory(tier) => {
                tier.append(key, sender, message);
                Ok(())
            }
        }
    }

    /// A reader of the stream `key`.
    pub(crate) fn reader(&self, key: &str) -> Reader {
        match self {
            Self::Redis(tier) => Reader::Redis(Box::new(tier.reader(key))),
            Self::Memory(tier) => Reader::Memory(tier.reader(key)),
        }
    }

    /// Which history each shard has; nothing where there are no shards.
    pub(crate) fn histories(&self) -> Option<Histories> {
        match self {
            Self::Redis(tier) => Some(tier.histories()),
            Self::Memory(_) => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

impl FromStr for Position {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (millis, sequence) = text.split_once('-').unwrap_or((text, "0"));
        Ok(Self { millis: millis.parse()?, sequence: sequence.parse()? })
    }
}
