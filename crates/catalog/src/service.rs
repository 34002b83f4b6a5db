//! The catalogue: reads through the cache, writes past it.

mod journaling;
mod operating;

use std::future::Future;
use std::sync::{Arc, OnceLock};

use catalog_domain::{
    Change, ListRequest, Listing, NewProduct, NewReview, ProductId, ProductPage, ProductPatch,
    ProductReplacement, ProductRepository, ProductSummary, ReviewId, View, Written,
};
use futures_util::StreamExt;
use larder::{CallOptions, Coherence, L2, Metrics, OptionError};
use tokio::time::Instant;
use tracing::Instrument;

use crate::condition::Condition;
use crate::error::CatalogueError;
use crate::namespace::{Namespace, origin};
use crate::overlaid;
use crate::pending::{self, PendingWrites, Taken};
use crate::reply::Reply;
use crate::shadow::Shadow;
use crate::strategy::NamespaceSettings;
use crate::write_behind;

/// Invalidations of one write that are sent at the same time.
const INVALIDATIONS_AT_ONCE: usize = 64;

/// What all namespaces of a process share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Keeps, say, staging and production apart on one cluster.
    pub environment: String,
    /// The second tier.
    pub l2: Arc<L2>,
    /// Where lookups, loads and fills are counted.
    pub metrics: Arc<Metrics>,
    /// What keeps namespaces coherent with other processes and with Postgres.
    pub coherence: Option<Arc<Coherence>>,
}

/// The catalogue over a store `R`.
pub struct Catalogue<R> {
    inner: Arc<Inner<R>>,
    shadow: Option<Arc<Shadow<R>>>,
}

struct Inner<R> {
    repository: Arc<R>,
    shared: Shared,
    pages: Namespace<ProductPage>,
    summaries: Namespace<ProductSummary>,
    pending: OnceLock<Arc<dyn PendingWrites>>,
    /// Another journal, which takes no writes, but may hold some.
    left: OnceLock<Arc<dyn PendingWrites>>,
}

/// What a write that may have been journaled led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// What readers will see.
    pub written: Written<()>,
    /// Its place in the journal; `None`: it is in the database's tables.
    pub position: Option<u64>,
}

impl<R> Clone for Catalogue<R> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), shadow: self.shadow.clone() }
    }
}

impl<R> std::fmt::Debug for Catalogue<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalogue").field("shared", &self.inner.shared).finish_non_exhaustive()
    }
}

impl<R: ProductRepository> Catalogue<R> {
    /// A catalogue whose namespaces have the settings that `settings` gives.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot work.
    pub fn new(
        repository: R,
        shared: Shared,
        settings: impl Fn(View) -> NamespaceSettings,
    ) -> Result<Self, OptionError> {
        let (page, summary) = (View::ProductPage, View::ProductSummary);
        let repository = Arc::new(repository);
        let origin_of_pages = origin({
            let repository = Arc::clone(&repository);
            move |id| {
                let repository = Arc::clone(&repository);
                async move { repository.page(id).await }
            }
        });
        let origin_of_summaries = origin({
            let repository = Arc::clone(&repository);
            move |id| {
                let repository = Arc::clone(&repository);
                async move { repository.summary(id).await }
            }
        });
        let pages = Namespace::new(page, &shared, settings(page), origin_of_pages)?;
        let summaries = Namespace::new(summary, &shared, settings(summary), origin_of_summaries)?;
        let (pending, left) = (OnceLock::new(), OnceLock::new());
        let inner = Arc::new(Inner { repository, shared, pages, summaries, pending, left });
        Ok(Self { inner, shadow: None })
    }

    /// The same catalogue, which asks the store beside a part `sample` (0 to 1) of the cache's
    /// answers how new they were, and records it as `larder.staleness`.
    #[must_use]
    pub fn sampling(mut self, sample: f64) -> Self {
        let shadow = || {
            let repository = Arc::clone(&self.inner.repository);
            Arc::new(Shadow::new(repository, Arc::clone(&self.inner.shared.metrics), sample))
        };
        self.shadow = (sample > 0.0).then(shadow);
        self
    }

    /// The store.
    #[must_use]
    pub fn repository(&self) -> &R {
        &self.inner.repository
    }

    /// What the namespaces share.
    #[must_use]
    pub fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// The settings of `view` in force.
    #[must_use]
    pub fn settings(&self, view: View) -> NamespaceSettings {
        match view {
            View::ProductPage => self.inner.pages.settings(),
            View::ProductSummary => self.inner.summaries.settings(),
        }
    }

    /// Puts other settings of `view` in force, for requests that come from now on.
    ///
    /// The caller guarantees that `settings.options.floor_epoch` is what adopting the strategy
    /// answered.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot work; the old settings stay.
    pub fn switch(&self, view: View, settings: NamespaceSettings) -> Result<(), OptionError> {
        let inner = &self.inner;
        match view {
            View::ProductPage => inner.pages.switch(&inner.shared, settings)?,
            View::ProductSummary => inner.summaries.switch(&inner.shared, settings)?,
        }
        inner.watch();
        Ok(())
    }

    /// The full page; without a body if there is no such product. Not older than
    /// `call.min_version`, as long as there is one: whatever is newest in Postgres is an answer.
    ///
    /// # Errors
    ///
    /// When Postgres is needed and does not answer, or is asked too much.
    pub async fn page(&self, id: ProductId, call: &CallOptions) -> Result<Reply, CatalogueError> {
        let began = Instant::now();
        let reply = self.inner.pages.read(id, call).await?;
        let reply = overlaid::page(self.inner.overlay(), id, reply).await?;
        self.cast_shadow(View::ProductPage, id, began, &reply);
        Ok(reply)
    }

    /// The summary; without a body if there is no such product.
    ///
    /// # Errors
    ///
    /// As [`page`](Self::page).
    pub async fn summary(
        &self,
        id: ProductId,
        call: &CallOptions,
    ) -> Result<Reply, CatalogueError> {
        let began = Instant::now();
        let reply = self.inner.summaries.read(id, call).await?;
        let reply = overlaid::summary(self.inner.overlay(), id, reply).await?;
        self.cast_shadow(View::ProductSummary, id, began, &reply);
        Ok(reply)
    }

    /// A page of a category, uncached; `None` if there is no such category.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn list(&self, request: &ListRequest) -> Result<Option<Listing>, CatalogueError> {
        let before = overlaid::before_listing(self.inner.overlay());
        let mut listing = self.inner.repository.list(request).await?;
        if let Some(listing) = &mut listing {
            overlaid::listing(&before, listing);
        }
        Ok(listing)
    }

    /// Stores a new product.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses.
    pub async fn create(&self, product: NewProduct) -> Result<Written<ProductId>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            let written = inner.repository.create(&product).await?;
            inner.written(written.value, &written.changes).await;
            Ok(written)
        })
        .await
    }

    /// Replaces all about a product but its SKU; `None` if there is no such product.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses, or the condition does not hold.
    pub async fn replace(
        &self,
        id: ProductId,
        content: ProductReplacement,
        condition: Condition,
    ) -> Result<Option<Written<()>>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            inner.settle(id).await?;
            let replace = |expected| inner.repository.replace(id, &content, expected);
            let written = condition.hold(replace).await?;
            inner.written_if(id, &written).await;
            Ok(written)
        })
        .await
    }

    /// Changes price or stock; `None` if there is no such product. Under `write-behind` (of the
    /// page or the summary) and without a condition it is the journal that holds it afterwards,
    /// where it can.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses, the journal is full, or the condition does not
    /// hold.
    pub async fn patch(
        &self,
        id: ProductId,
        patch: ProductPatch,
        condition: Condition,
    ) -> Result<Option<Receipt>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            if inner.is_behind() && condition == Condition::None {
                let pending = inner.pending.get().map(|pending| &**pending);
                match write_behind::journal(pending, id, &patch).await? {
                    Taken::Journaled(journaled) => {
                        let written = pending::written(id, &journaled);
                        inner.written(id, &written.changes).await;
                        return Ok(Some(Receipt { written, position: Some(journaled.position) }));
                    }
                    Taken::Absent => return Ok(None),
                    Taken::Synchronously => {}
                }
            }
            inner.settle(id).await?;
            let patched = |expected| inner.repository.patch(id, &patch, expected);
            let written = condition.hold(patched).await?;
            inner.written_if(id, &written).await;
            Ok(written.map(|written| Receipt { written, position: None }))
        })
        .await
    }

    /// Adds a review; `None` if there is no such product.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses.
    pub async fn add_review(
        &self,
        id: ProductId,
        review: NewReview,
    ) -> Result<Option<Written<ReviewId>>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            inner.settle(id).await?;
            let written = inner.repository.add_review(id, &review).await?;
            inner.written_if(id, &written).await;
            Ok(written)
        })
        .await
    }

    /// Deletes a product; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer or refuses, or the condition does not hold.
    pub async fn delete(
        &self,
        id: ProductId,
        condition: Condition,
    ) -> Result<Option<Written<()>>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            inner.settle(id).await?;
            let delete = |expected| inner.repository.delete(id, expected);
            let written = condition.hold(delete).await?;
            inner.written_if(id, &written).await;
            Ok(written)
        })
        .await
    }
}

impl<R: ProductRepository> Catalogue<R> {
    fn cast_shadow(&self, view: View, id: ProductId, began: Instant, reply: &Reply) {
        if let Some(shadow) = &self.shadow {
            shadow.cast(view, id, began, reply);
        }
    }
}

impl<R> Inner<R> {
    /// Whether writes may wait.
    fn is_behind(&self) -> bool {
        self.pages.is_behind() || self.summaries.is_behind()
    }

    /// Looks after the journal as long as writes may wait.
    fn watch(&self) {
        for journal in [&self.pending, &self.left].into_iter().filter_map(OnceLock::get) {
            journal.watch(self.is_behind());
        }
    }

    /// Tells every namespace of changes that no write of this moment made.
    async fn invalidate(&self, changes: &[Change]) {
        let tell = async |change: &Change| match change.view {
            View::ProductPage => self.pages.invalidated(change).await,
            View::ProductSummary => self.summaries.invalidated(change).await,
        };
        futures_util::stream::iter(changes)
            .map(tell)
            .buffer_unordered(INVALIDATIONS_AT_ONCE)
            .for_each(async |()| ())
            .await;
    }

    async fn written_if<T>(&self, id: ProductId, written: &Option<Written<T>>) {
        if let Some(written) = written {
            self.written(id, &written.changes).await;
        }
    }

    /// Tells every namespace what a committed write of the product `id` has changed.
    async fn written(&self, id: ProductId, changes: &[Change]) {
        let tell = async |change: &Change| match change.view {
            View::ProductPage => self.pages.written(id, change).await,
            View::ProductSummary => self.summaries.written(id, change).await,
        };
        futures_util::stream::iter(changes)
            .map(tell)
            .buffer_unordered(INVALIDATIONS_AT_ONCE)
            .for_each(async |()| ())
            .await;
    }
}

/// Runs a write to its end, also when the client does not wait for it: between a commit and
/// its invalidations nobody may let go.
async fn to_its_end<T: Send + 'static>(
    write: impl Future<Output = Result<T, CatalogueError>> + Send + 'static,
) -> Result<T, CatalogueError> {
    // The task has no other tie to the request's trace.
    let span = tracing::debug_span!("catalogue.write");
    match tokio::spawn(write.instrument(span)).await {
        Ok(answer) => answer,
        Err(_panicked) => Err(CatalogueError::Lost),
    }
}
