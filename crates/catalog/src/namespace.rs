//! One namespace: its cache, and the strategy in force.

use std::sync::Arc;

use arc_swap::ArcSwap;
use catalog_domain::{Change, ProductId, RepositoryError, Revised, View};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use larder::{Cache, CallOptions, Inspection, Invalidation, Loaded, OptionError, Version};

use crate::error::{CatalogueError, LoadFailure};
use crate::rendered::{CachedView, Rendered};
use crate::reply::Reply;
use crate::service::Shared;
use crate::strategy::{NamespaceSettings, Strategy};
use crate::{cache_aside, none, read_through, refresh_ahead, ttl, write_behind, write_through};

/// The cache of a view.
pub(crate) type ViewCache<V> = Cache<ProductId, Rendered<V>>;

/// What loads a view, in the form that is cached.
pub(crate) type Origin<V> = Arc<
    dyn Fn(ProductId) -> BoxFuture<'static, Result<Loaded<Rendered<V>>, LoadFailure>> + Send + Sync,
>;

/// One namespace. Settings are swapped as a whole: a request sees one set of them throughout.
pub(crate) struct Namespace<V: CachedView> {
    view: View,
    origin: Origin<V>,
    active: ArcSwap<Active<V>>,
}

struct Active<V: CachedView> {
    settings: NamespaceSettings,
    cache: ViewCache<V>,
}

/// What `load` brings, rendered.
pub(crate) fn origin<V: CachedView, F>(
    load: impl Fn(ProductId) -> F + Send + Sync + 'static,
) -> Origin<V>
where
    F: Future<Output = Result<Revised<Option<V>>, RepositoryError>> + Send + 'static,
{
    Arc::new(move |id| {
        let load = load(id);
        async {
            let Revised { revision, value } = load.await?;
            let version = Version::new(revision.epoch, revision.counter);
            Ok(match value {
                Some(view) => Loaded::found(version, Rendered::of(&view)?),
                None => Loaded::absent(version),
            })
        }
        .boxed()
    })
}

impl<V: CachedView> Namespace<V> {
    pub(crate) fn new(
        view: View,
        shared: &Shared,
        settings: NamespaceSettings,
        origin: Origin<V>,
    ) -> Result<Self, OptionError> {
        let active = Active::new(view, shared, settings, &origin)?;
        Ok(Self { view, origin, active: ArcSwap::from_pointee(active) })
    }

    pub(crate) fn settings(&self) -> NamespaceSettings {
        self.active.load().settings.clone()
    }

    /// Whether its writes may wait.
    pub(crate) fn is_behind(&self) -> bool {
        self.active.load().settings.strategy == Strategy::WriteBehind
    }

    /// Requests that come from now on run under `settings`.
    pub(crate) fn switch(
        &self,
        shared: &Shared,
        settings: NamespaceSettings,
    ) -> Result<(), OptionError> {
        self.active.store(Arc::new(Active::new(self.view, shared, settings, &self.origin)?));
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        id: ProductId,
        call: &CallOptions,
    ) -> Result<Reply, CatalogueError> {
        let active = self.active.load_full();
        let cache = &active.cache;
        match active.settings.strategy {
            Strategy::None => none::read(cache, &self.origin, id).await,
            Strategy::CacheAside => cache_aside::read(cache, &self.origin, id, call).await,
            Strategy::ReadThrough => read_through::read(cache, id, call).await,
            Strategy::WriteThrough => write_through::read(cache, id, call).await,
            Strategy::WriteBehind => write_behind::read(cache, id, call).await,
            Strategy::RefreshAhead => refresh_ahead::read(cache, id, call).await,
            Strategy::Ttl => ttl::read(cache, id, call).await,
        }
    }

    /// What a committed write of the product `id` means to this namespace.
    pub(crate) async fn written(&self, id: ProductId, change: &Change) {
        let active = self.active.load_full();
        let cache = &active.cache;
        match active.settings.strategy {
            Strategy::CacheAside => cache_aside::written(cache, change).await,
            Strategy::ReadThrough => read_through::written(cache, change).await,
            Strategy::WriteThrough => {
                write_through::written(cache, &self.origin, id, change).await;
            }
            Strategy::WriteBehind => write_behind::written(cache, change).await,
            Strategy::RefreshAhead => refresh_ahead::written(cache, change).await,
            Strategy::None | Strategy::Ttl => {}
        }
    }

    /// What a change means to this namespace that no write of this moment made.
    pub(crate) async fn invalidated(&self, change: &Change) {
        let active = self.active.load_full();
        match active.settings.strategy {
            Strategy::None | Strategy::Ttl => {}
            Strategy::CacheAside
            | Strategy::ReadThrough
            | Strategy::WriteThrough
            | Strategy::WriteBehind
            | Strategy::RefreshAhead => cache_aside::written(&active.cache, change).await,
        }
    }
}

impl<V: CachedView> Namespace<V> {
    /// What the tiers hold of `id`.
    pub(crate) async fn inspect(&self, id: ProductId) -> Inspection {
        self.active.load_full().cache.inspect(&id).await
    }

    /// Makes old what is held of `id` before `version`, under any strategy.
    pub(crate) async fn make_old(&self, id: ProductId, version: Version) -> Invalidation {
        self.active.load_full().cache.invalidate(&id, version).await
    }
}

impl<V: CachedView> Active<V> {
    fn new(
        view: View,
        shared: &Shared,
        settings: NamespaceSettings,
        origin: &Origin<V>,
    ) -> Result<Self, OptionError> {
        let cache = Cache::new(
            &shared.environment,
            view.namespace(),
            settings.cache_options(),
            Arc::clone(&shared.l2),
            &shared.metrics,
        )?;
        let origin = Arc::clone(origin);
        let cache = cache.with_source(move |id| origin(id));
        let cache = match &shared.coherence {
            Some(coherence) => cache.coherent(coherence),
            None => cache,
        };
        Ok(Self { settings, cache })
    }
}
