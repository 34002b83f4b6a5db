//! `none`: Postgres answers everything.
//!
//! Nothing is looked up and nothing stored. Loads still run under the namespace's cap: the
//! database is protected whatever the strategy. A write has nothing to invalidate, for the
//! entries that another strategy left behind are below the floor that adopting it raised. Nor is
//! there a version to ask for: nothing is newer than what Postgres answers.

use catalog_domain::ProductId;

use crate::error::CatalogueError;
use crate::namespace::{Origin, ViewCache};
use crate::rendered::CachedView;
use crate::reply::Reply;

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    origin: &Origin<V>,
    id: ProductId,
) -> Result<Reply, CatalogueError> {
    let loaded = cache.bypass(origin(id)).await??;
    Ok(Reply::bypassing(loaded))
}
