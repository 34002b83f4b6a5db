//! A namespace of this process, as coherence sees it: by the text of its keys.

use crate::version::Version;

/// Who asked for an invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The change feed, relayed by this process.
    Feed,
    /// Another process.
    Backplane,
}

/// The cache of a namespace in this process.
pub(crate) trait Member: Send + Sync {
    /// Whether anybody can still read from it.
    fn is_alive(&self) -> bool;

    /// What is older than `version` leaves this process, and does not come in again.
    fn invalidated(&self, key: &str, version: Version, source: Source);

    /// The same for values with the tag `name`.
    fn tag_invalidated(&self, name: &str, version: Version);

    /// Everything of an epoch before `epoch` is old.
    fn epoch_raised(&self, epoch: u32);

    /// Something may have been missed: everything leaves this process.
    fn missed(&self);
}
