//! `read-through`: the cache loads what is missing through its registered source; a write goes
//! to Postgres and then invalidates, as in cache-aside.

use catalog_domain::ProductId;
use larder::CallOptions;

use crate::error::CatalogueError;
use crate::namespace::ViewCache;
use crate::rendered::CachedView;
use crate::reply::Reply;

pub(crate) use crate::cache_aside::written;

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    id: ProductId,
    call: &CallOptions,
) -> Result<Reply, CatalogueError> {
    Ok(Reply::of(cache.get_by(&id, call).await?))
}
