//! `none`: Postgres answers everything.
//!
//! Nothing is looked up and nothing stored. Loads still run under the namespace's cap: the
//! database is protected whatever the strategy. A write has nothing to invalidate, for the
//! entries that another strategy left behind are below the floor that adopting it raised.

use std::future::Future;

use catalog_domain::{ProductId, RepositoryError, Revised};

use crate::error::CatalogueError;
use crate::namespace::ViewCache;
use crate::rendered::{CachedView, Rendered};
use crate::reply::{Reply, Source};

pub(crate) async fn read<V: CachedView>(
    cache: &ViewCache<V>,
    _id: ProductId,
    load: impl Future<Output = Result<Option<Revised<V>>, RepositoryError>>,
) -> Result<Option<Reply>, CatalogueError> {
    let Some(found) = cache.load(load).await?.value? else { return Ok(None) };
    let rendered = Rendered::of(&found.value)?;
    Ok(Some(Reply::loaded(rendered, found.revision, Source::Bypass("strategy-none"))))
}
