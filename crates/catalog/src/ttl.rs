//! `ttl`: reads as cache-aside; a write goes to Postgres and leaves the cache alone.
//!
//! Readers may see a value that is as old as its TTL. In exchange a write costs the cache
//! nothing, and a key that changes all the time is still loaded only once per TTL.

use std::future::Future;

use catalog_domain::{ProductId, RepositoryError, Revised};

use crate::cache_aside;
use crate::error::CatalogueError;
use crate::namespace::ViewCache;
use crate::rendered::CachedView;
use crate::reply::Reply;

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    id: ProductId,
    load: impl Future<Output = Result<Option<Revised<V>>, RepositoryError>>,
) -> Result<Option<Reply>, CatalogueError> {
    cache_aside::read(cache, id, load).await
}
