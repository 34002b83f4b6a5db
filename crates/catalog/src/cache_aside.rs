//! `cache-aside`: the application looks aside into the cache, loads what is missing from
//! Postgres, and fills it in; a write goes to Postgres and then invalidates.
//!
//! What the textbook leaves open is closed by versions. A load that began before a write may
//! end after it: its fill carries the older version and is refused by the tombstone that the
//! write left.

use std::future::Future;

use catalog_domain::{Change, ProductId, RepositoryError, Revised};
use larder::{Invalidation, Lookup, Version};

use crate::error::CatalogueError;
use crate::namespace::ViewCache;
use crate::rendered::{CachedView, Rendered};
use crate::reply::{Reply, Source};

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    id: ProductId,
    load: impl Future<Output = Result<Option<Revised<V>>, RepositoryError>>,
) -> Result<Option<Reply>, CatalogueError> {
    let miss = match cache.lookup(&id).await {
        Lookup::Hit(hit) => return Ok(Some(Reply::hit(hit))),
        Lookup::Miss(miss) => miss,
    };
    let loaded = cache.load(load).await?;
    let Some(found) = loaded.value? else { return Ok(None) };
    let rendered = Rendered::of(&found.value)?;
    let version = Version::new(found.revision.epoch, found.revision.counter);
    let fill = cache.fill(&id, version, &rendered, loaded.cost).await;
    Ok(Some(Reply::loaded(rendered, found.revision, Source::of(&miss)).after(&fill)))
}

/// Invalidates what a committed write has changed.
pub(crate) async fn written<V: CachedView>(cache: &ViewCache<V>, change: &Change) {
    let version = Version::new(change.revision.epoch, change.revision.counter);
    if let Invalidation::Unavailable(error) = cache.invalidate(&change.id, version).await {
        // Counted as lost; while Redis is gone there is one of these for every write.
        tracing::debug!(id = %change.id, %error, "invalidation not taken");
    }
}
