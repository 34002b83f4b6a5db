//! The catalogue's journal: where it comes in, what it tells, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use catalog_domain::{Pending, ProductId, ProductRepository};
use futures_util::FutureExt;
use futures_util::future::join_all;
use larder::{Overlay, Tell};

use super::{Catalogue, Inner, to_its_end};
use crate::error::CatalogueError;
use crate::pending::{self, PendingWrites};

impl<R: ProductRepository> Catalogue<R> {
    /// The same catalogue with a journal for the writes of `write-behind`, which it begins to
    /// apply. Without one, these are written at once. The first journal stays.
    pub async fn journaling(self, pending: Arc<dyn PendingWrites>) -> Self {
        if self.inner.pending.set(Arc::clone(&pending)).is_ok() {
            pending.start(tell(&self.inner)).await;
            self.inner.watch();
        }
        self
    }

    /// The same catalogue with another journal, out of which what it holds is applied, and which takes
    /// no new writes: what was journaled in another mode. The first stays.
    pub async fn clearing(self, left: Arc<dyn PendingWrites>) -> Self {
        if self.inner.left.set(Arc::clone(&left)).is_ok() {
            left.start(tell(&self.inner)).await;
            self.inner.watch();
        }
        self
    }

    /// The journal.
    #[must_use]
    pub fn pending(&self) -> Option<&Arc<dyn PendingWrites>> {
        self.inner.pending.get()
    }

    /// The journal, and the one that is [cleared](Self::clearing) beside it: each has dead letters of
    /// its own.
    pub fn journals(&self) -> impl Iterator<Item = &Arc<dyn PendingWrites>> {
        [self.inner.pending.get(), self.inner.left.get()].into_iter().flatten()
    }

    /// Lets the journal take no more writes, and applies what it holds, for `limit` at most;
    /// whether nothing is left to other processes or to a later start.
    pub async fn drain(&self, limit: Duration) -> bool {
        let drained = self.journals().map(|journal| {
            let tell = tell(&self.inner);
            journal.drain(limit, tell)
        });
        join_all(drained).await.into_iter().all(|drained| drained)
    }

    /// Puts a dead letter of `journal`, one of the [journals](Self::journals), back at its end, where it
    /// is seen again and tried again; `None`: there is no such one.
    ///
    /// # Errors
    ///
    /// When the journal does not answer.
    pub async fn replay(
        &self,
        journal: &Arc<dyn PendingWrites>,
        position: u64,
    ) -> Result<Option<u64>, CatalogueError> {
        let (inner, journal) = (Arc::clone(&self.inner), Arc::clone(journal));
        to_its_end(async move {
            let again = journal.replay(position).await;
            let again = again.map_err(|error| CatalogueError::Journal(Arc::new(error)))?;
            let Some(journaled) = again else { return Ok(None) };
            inner.invalidate(&pending::changes(&journaled.changes)).await;
            Ok(Some(journaled.position))
        })
        .await
    }
}

impl<R: ProductRepository> Inner<R> {
    /// What waits that loads do not show.
    pub(super) fn overlay(&self) -> Option<&Overlay<Pending>> {
        self.pending.get()?.overlay()
    }

    /// Applies what waits for the product, before a write that does not wait.
    pub(super) async fn settle(self: &Arc<Self>, id: ProductId) -> Result<(), CatalogueError> {
        match self.pending.get() {
            Some(pending) => pending.settle(id, tell(self)).await,
            None => Ok(()),
        }
    }
}

/// Tells the namespaces, as long as there are any.
fn tell<R: ProductRepository>(inner: &Arc<Inner<R>>) -> Tell {
    let inner = Arc::downgrade(inner);
    Arc::new(move |named| {
        let inner = inner.clone();
        async move {
            if let Some(inner) = inner.upgrade() {
                inner.invalidate(&pending::changes(&named)).await;
            }
        }
        .boxed()
    })
}
