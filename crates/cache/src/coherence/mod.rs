//! Coherence: every committed change is seen, whoever made it.

mod feed;

pub use self::feed::{Batch, Change, Feed, FeedError, Place};
