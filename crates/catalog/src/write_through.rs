//! `write-through`: reads as read-through; a write goes through the cache: Postgres commits, and the
//! new value is published before the write is answered.
//!
//! The new value is read with its version, in one snapshot, after the commit. Of two writes at
//! once each publishes what it reads, and the newer version wins, whoever comes last. Other pages
//! that show the written product are invalidated: a write pays for its own product alone. When
//! Redis fails, nothing wrong is left behind that the change feed does not end; when the load
//! fails, the old value is invalidated.

use catalog_domain::{Change, ProductId};
use larder::{Publication, Version};

use crate::cache_aside;
use crate::namespace::{Origin, ViewCache};
use crate::rendered::CachedView;

pub(crate) use crate::read_through::read;

/// Publishes the view of the product `written`, and invalidates those that show it.
pub(crate) async fn written<V: CachedView>(
    cache: &ViewCache<V>,
    origin: &Origin<V>,
    written: ProductId,
    change: &Change,
) {
    if change.id != written {
        return cache_aside::written(cache, change).await;
    }
    let version = Version::new(change.revision.epoch, change.revision.counter);
    let publication = cache.republish(&change.id, version, origin(change.id)).await;
    if let Publication::Unavailable(why) = publication {
        // Counted as lost; while Redis is gone there is one of these for every write.
        tracing::debug!(id = %change.id, why, "publication not taken");
    }
}
