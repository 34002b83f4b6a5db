//! The catalogue's journal: where it comes in, what it tells, and how it ends.

use std::sync::Arc;
use std::time::Duration;

use catalog_domain::ProductRepository;
use futures_util::FutureExt;
use larder::Tell;

use super::{Catalogue, to_its_end};
use crate::error::CatalogueError;
use crate::pending::{self, PendingWrites};

impl<R: ProductRepository> Catalogue<R> {
    /// The same catalogue with a journal for the writes of `write-behind`, which it begins to
    /// apply. Without one, these are written at once. The first journal stays.
    pub async fn journaling(self, pending: Arc<dyn PendingWrites>) -> Self {
        if self.inner.pending.set(Arc::clone(&pending)).is_ok() {
            pending.start(self.tell()).await;
            self.inner.watch();
        }
        self
    }

    /// The journal.
    #[must_use]
    pub fn pending(&self) -> Option<&Arc<dyn PendingWrites>> {
        self.inner.pending.get()
    }

    /// Lets the journal take no more writes, and applies what it holds, for `limit` at most;
    /// whether nothing is left to other processes or to a later start.
    pub async fn drain(&self, limit: Duration) -> bool {
        match self.pending() {
            Some(pending) => pending.drain(limit, self.tell()).await,
            None => true,
        }
    }

    /// Tells the namespaces, as long as there are any.
    fn tell(&self) -> Tell {
        let inner = Arc::downgrade(&self.inner);
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

    /// Puts a dead letter back at the journal's end, where it is seen again and tried again;
    /// `None`: there is no such one.
    ///
    /// # Errors
    ///
    /// When the journal does not answer.
    pub async fn replay(&self, position: u64) -> Result<Option<u64>, CatalogueError> {
        let inner = Arc::clone(&self.inner);
        to_its_end(async move {
            let Some(pending) = inner.pending.get() else { return Ok(None) };
            let again = pending.replay(position).await;
            let again = again.map_err(|error| CatalogueError::Journal(Arc::new(error)))?;
            let Some(journaled) = again else { return Ok(None) };
            inner.invalidate(&pending::changes(&journaled.changes)).await;
            Ok(Some(journaled.position))
        })
        .await
    }
}
