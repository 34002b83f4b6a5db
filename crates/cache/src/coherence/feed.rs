//! The change feed: what the origin committed, whoever wrote it.

use std::error::Error;
use std::fmt;
use std::future::Future;

use crate::version::Version;

/// A cached key whose value was changed by a committed transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change {
    /// The cache namespace.
    pub namespace: String,
    /// The key within it, as its `Display` writes it.
    pub key: String,
    /// The version that the value has by it.
    pub version: Version,
}

/// How far a feed has been read. What it holds is the feed's own business; it can be written
/// down and read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

/// What a feed had to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Changes, in any order, at most one for each key.
    pub changes: Vec<Change>,
    /// Namespaces whose epoch moved, with the epoch that they have now.
    pub epochs: Vec<(String, u32)>,
    /// Namespaces in which more keys changed than were asked for: they are not among
    /// `changes`, and must be cleared.
    pub overflown: Vec<String>,
    /// Where to go on from.
    pub place: Place,
}

/// Why a feed could not be read.
pub type FeedError = Box<dyn Error + Send + Sync>;

/// What the origin committed, whoever wrote it.
///
/// The implementor guarantees that reading on from the place of one batch to that of the next
/// misses no change that was committed meanwhile, however long its transaction had been open;
/// a change may come more than once, and in any order. One process relays at a time, as far as
/// possible: two that do for a moment do no harm, for versions only grow.
pub trait Feed: Send + Sync + 'static {
    /// Takes or keeps the right to relay, for some seconds: the place from which to read, which
    /// is that of the last [`remember`](Self::remember). `None`: another process has it.
    fn claim(&self) -> impl Future<Output = Result<Option<Place>, FeedError>> + Send;

    /// Keeps the right and writes down a place, durably, for whoever relays next; `false`: the
    /// right was lost, and nothing is written.
    fn remember(&self, place: &Place) -> impl Future<Output = Result<bool, FeedError>> + Send;

    /// Lets another process take the right at once.
    fn resign(&self) -> impl Future<Output = Result<(), FeedError>> + Send;

    /// What was committed since `place`, with at most `limit` changes of one namespace.
    fn since(
        &self,
        place: &Place,
        limit: usize,
    ) -> impl Future<Output = Result<Batch, FeedError>> + Send;

    /// Ends when something may have been committed, or never: nobody may rely on it.
    fn rung(&self) -> impl Future<Output = ()> + Send;

    /// Moves the epoch of each of `namespaces`: all that is cached of them becomes old. The
    /// next batch tells it.
    fn clear(&self, namespaces: &[String]) -> impl Future<Output = Result<(), FeedError>> + Send;

    /// The epochs of all namespaces.
    fn epochs(&self) -> impl Future<Output = Result<Vec<(String, u32)>, FeedError>> + Send;
}

impl Place {
    /// A place, as the feed that made it spelled it.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// Its spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
