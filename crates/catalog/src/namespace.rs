//! One namespace: its cache, and the strategy in force.

use std::future::Future;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catalog_domain::{Change, ProductId, RepositoryError, Revised, View};
use larder::{Cache, OptionError};

use crate::error::CatalogueError;
use crate::rendered::{CachedView, Rendered};
use crate::reply::Reply;
use crate::service::Shared;
use crate::strategy::{NamespaceSettings, Strategy};
use crate::{cache_aside, none, ttl};

/// The cache of a view.
pub(crate) type ViewCache<V> = Cache<ProductId, Rendered<V>>;

/// One namespace. Settings are swapped as a whole: a request sees one set of them throughout.
pub(crate) struct Namespace<V> {
    view: View,
    active: ArcSwap<Active<V>>,
}

struct Active<V> {
    settings: NamespaceSettings,
    cache: ViewCache<V>,
}

impl<V: CachedView> Namespace<V> {
    pub(crate) fn new(
        view: View,
        shared: &Shared,
        settings: NamespaceSettings,
    ) -> Result<Self, OptionError> {
        let active = Active::new(view, shared, settings)?;
        Ok(Self { view, active: ArcSwap::from_pointee(active) })
    }

    pub(crate) fn settings(&self) -> NamespaceSettings {
        self.active.load().settings.clone()
    }

    /// Requests that come from now on run under `settings`.
    pub(crate) fn switch(
        &self,
        shared: &Shared,
        settings: NamespaceSettings,
    ) -> Result<(), OptionError> {
        self.active.store(Arc::new(Active::new(self.view, shared, settings)?));
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        id: ProductId,
        load: impl Future<Output = Result<Option<Revised<V>>, RepositoryError>>,
    ) -> Result<Option<Reply>, CatalogueError> {
        let active = self.active.load_full();
        let cache = &active.cache;
        match active.settings.strategy {
            Strategy::None => none::read(cache, id, load).await,
            Strategy::CacheAside => cache_aside::read(cache, id, load).await,
            Strategy::Ttl => ttl::read(cache, id, load).await,
        }
    }

    /// What a committed write means to this namespace.
    pub(crate) async fn written(&self, change: &Change) {
        let active = self.active.load_full();
        match active.settings.strategy {
            Strategy::CacheAside => cache_aside::written(&active.cache, change).await,
            Strategy::None | Strategy::Ttl => {}
        }
    }
}

impl<V: CachedView> Active<V> {
    fn new(view: View, shared: &Shared, settings: NamespaceSettings) -> Result<Self, OptionError> {
        let cache = Cache::new(
            &shared.environment,
            view.namespace(),
            settings.options.clone(),
            Arc::clone(&shared.l2),
            &shared.metrics,
        )?;
        Ok(Self { settings, cache })
    }
}
