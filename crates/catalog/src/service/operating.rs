//! What an operator sees of single entries, and makes old.

use catalog_domain::{ProductId, ProductRepository, View};
use larder::{Inspection, Invalidation, Version};

use super::Catalogue;

impl<R: ProductRepository> Catalogue<R> {
    /// What the tiers hold of `id`; nothing is changed by looking.
    pub async fn inspect(&self, view: View, id: ProductId) -> Inspection {
        match view {
            View::ProductPage => self.inner.pages.inspect(id).await,
            View::ProductSummary => self.inner.summaries.inspect(id).await,
        }
    }

    /// Makes old what is held of `id` before `version`, which Postgres gave to it. Under `ttl` a
    /// process that does not hear the backplane keeps what it holds itself, and the change feed tells nobody.
    pub async fn make_old(&self, view: View, id: ProductId, version: Version) -> Invalidation {
        match view {
            View::ProductPage => self.inner.pages.make_old(id, version).await,
            View::ProductSummary => self.inner.summaries.make_old(id, version).await,
        }
    }
}
