//! `cache-aside`: the application looks aside into the cache, loads what is missing from
//! Postgres, and fills it in; a write goes to Postgres and then invalidates.
//!
//! What the textbook leaves open is closed by versions and leases. Of those who miss one key
//! together one loads. A load that began before a write may end after it: its fill carries the
//! older version and is refused by the tombstone that the write left.

use catalog_domain::{Change, ProductId};
use larder::{CallOptions, Invalidation, Version};

use crate::error::CatalogueError;
use crate::namespace::{Origin, ViewCache};
use crate::rendered::CachedView;
use crate::reply::Reply;

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    origin: &Origin<V>,
    id: ProductId,
    call: &CallOptions,
) -> Result<Reply, CatalogueError> {
    Ok(Reply::of(cache.get_with_by(&id, call, || origin(id)).await?))
}

/// Invalidates what a committed write has changed.
pub(crate) async fn written<V: CachedView>(cache: &ViewCache<V>, change: &Change) {
    let version = Version::new(change.revision.epoch, change.revision.counter);
    if let Invalidation::Unavailable(why) = cache.invalidate(&change.id, version).await {
        // Counted as lost; while Redis is gone there is one of these for every write.
        tracing::debug!(id = %change.id, why, "invalidation not taken");
    }
}
