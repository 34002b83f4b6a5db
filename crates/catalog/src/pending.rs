//! Where writes wait that are acknowledged before the database's tables have them.

use std::sync::Arc;
use std::time::Duration;

use catalog_domain::{Change, Pending, ProductId, ProductPatch, Revision, View, Written};
use futures_util::future::BoxFuture;
use larder::{
    DeadLetter, Journal, JournalError, JournalState, Journaled, Overlay, Tell, Version, Write,
    WriteBehind, WriteBehindStatus, WriteError, WriteState,
};

use crate::error::CatalogueError;

/// What became of a write that could wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The journal holds it.
    Journaled(Journaled),
    /// There is no such product.
    Absent,
    /// It cannot wait, or there is no room for it: it is to be written at once.
    Synchronously,
}

/// The journal as the catalogue, and whoever administers it, sees it.
pub trait PendingWrites: Send + Sync + 'static {
    /// Journals a patch.
    fn patch(
        &self,
        id: ProductId,
        patch: &ProductPatch,
    ) -> BoxFuture<'static, Result<Taken, CatalogueError>>;

    /// Applies what waits for a product, before a write that does not wait, and tells `tell` what
    /// that changes.
    fn settle(&self, id: ProductId, tell: Tell) -> BoxFuture<'static, Result<(), CatalogueError>>;

    /// What waits that loads do not show; `None`: they show all.
    fn overlay(&self) -> Option<&Overlay<Pending>>;

    /// Begins to apply what waits, and tells `tell` what that changes.
    fn start(&self, tell: Tell) -> BoxFuture<'static, ()>;

    /// Whether this process looks after what others leave in the journal.
    fn watch(&self, watching: bool);

    /// Takes no more writes, and applies what waits, for `limit` at most; whether nothing is left.
    fn drain(&self, limit: Duration, tell: Tell) -> BoxFuture<'static, bool>;

    /// What this process has done.
    fn status(&self) -> WriteBehindStatus;

    /// What the journal holds.
    fn state(&self) -> BoxFuture<'static, Result<JournalState, JournalError>>;

    /// What became of the write at `position`.
    fn find(&self, position: u64) -> BoxFuture<'static, Result<Option<WriteState>, JournalError>>;

    /// The oldest dead letters, at most `most`.
    fn dead_letters(
        &self,
        most: usize,
    ) -> BoxFuture<'static, Result<Vec<DeadLetter>, JournalError>>;

    /// The dead letter at `position`; `None`: there is no such one.
    fn dead_letter(
        &self,
        position: u64,
    ) -> BoxFuture<'static, Result<Option<DeadLetter>, JournalError>>;

    /// Puts a dead letter back at the journal's end; `None`: there is no such one.
    fn replay(&self, position: u64) -> BoxFuture<'static, Result<Option<Journaled>, JournalError>>;

    /// Throws a dead letter away; whether there was such one.
    fn discard(&self, position: u64) -> BoxFuture<'static, Result<bool, JournalError>>;
}

/// How a journal's own words are found for a patch, and the catalogue's for its refusal.
pub struct Dictionary<J: Journal> {
    /// The write that does what a patch of a product does; `None`: it cannot wait.
    pub write: fn(ProductId, &ProductPatch) -> Option<Write<J::Operation>>,
    /// A product's key in the journal.
    pub key: fn(ProductId) -> String,
    /// What a refusal means; `None`: there is no such product.
    pub refusal: fn(J::Refusal) -> Option<CatalogueError>,
}

/// [`PendingWrites`] in the journal `J`.
pub struct JournaledPatches<J: Journal> {
    engine: WriteBehind<J>,
    dictionary: Arc<Dictionary<J>>,
    overlay: Option<Arc<Overlay<Pending>>>,
}

impl<J: Journal> JournaledPatches<J> {
    /// The catalogue's writes in `engine`.
    pub fn new(engine: WriteBehind<J>, dictionary: Dictionary<J>) -> Self {
        Self { engine, dictionary: Arc::new(dictionary), overlay: None }
    }

    /// The same for a journal that loads know nothing of: what waits in it is in `overlay`.
    #[must_use]
    pub fn beside(self, overlay: Arc<Overlay<Pending>>) -> Self {
        Self { overlay: Some(overlay), ..self }
    }
}

impl<J: Journal> std::fmt::Debug for JournaledPatches<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JournaledPatches").field("engine", &self.engine).finish_non_exhaustive()
    }
}

impl<J: Journal> PendingWrites for JournaledPatches<J> {
    fn patch(
        &self,
        id: ProductId,
        patch: &ProductPatch,
    ) -> BoxFuture<'static, Result<Taken, CatalogueError>> {
        let (engine, dictionary) = (self.engine.clone(), Arc::clone(&self.dictionary));
        let write = (dictionary.write)(id, patch);
        Box::pin(async move {
            let Some(write) = write else { return Ok(Taken::Synchronously) };
            match engine.write(write).await {
                Ok(journaled) => Ok(Taken::Journaled(journaled)),
                Err(WriteError::Refused(refusal)) => match (dictionary.refusal)(refusal) {
                    Some(error) => Err(error),
                    None => Ok(Taken::Absent),
                },
                Err(WriteError::Full { retry_after }) => {
                    Err(CatalogueError::JournalFull { retry_after })
                }
                Err(WriteError::Synchronous | WriteError::Closed) => Ok(Taken::Synchronously),
                Err(WriteError::Journal(error)) => Err(CatalogueError::Journal(error)),
                Err(WriteError::Lost) => Err(CatalogueError::Lost),
            }
        })
    }

    fn settle(&self, id: ProductId, tell: Tell) -> BoxFuture<'static, Result<(), CatalogueError>> {
        let (engine, key) = (self.engine.clone(), (self.dictionary.key)(id));
        Box::pin(async move {
            let settled = engine.settle(&key, &tell).await;
            settled.map_err(|error| CatalogueError::Journal(Arc::new(error)))
        })
    }

    fn overlay(&self) -> Option<&Overlay<Pending>> {
        self.overlay.as_deref()
    }

    fn start(&self, tell: Tell) -> BoxFuture<'static, ()> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.start(tell).await })
    }

    fn watch(&self, watching: bool) {
        self.engine.watch(watching);
    }

    fn drain(&self, limit: Duration, tell: Tell) -> BoxFuture<'static, bool> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.drain(limit, &tell).await })
    }

    fn status(&self) -> WriteBehindStatus {
        self.engine.status()
    }

    fn state(&self) -> BoxFuture<'static, Result<JournalState, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().state().await })
    }

    fn find(&self, position: u64) -> BoxFuture<'static, Result<Option<WriteState>, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().find(position).await })
    }

    fn dead_letters(
        &self,
        most: usize,
    ) -> BoxFuture<'static, Result<Vec<DeadLetter>, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().dead_letters(most).await })
    }

    fn dead_letter(
        &self,
        position: u64,
    ) -> BoxFuture<'static, Result<Option<DeadLetter>, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().dead_letter(position).await })
    }

    fn replay(&self, position: u64) -> BoxFuture<'static, Result<Option<Journaled>, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().replay(position).await })
    }

    fn discard(&self, position: u64) -> BoxFuture<'static, Result<bool, JournalError>> {
        let engine = self.engine.clone();
        Box::pin(async move { engine.journal().discard(position).await })
    }
}

/// The changes of views among those that a journal names.
pub(crate) fn changes(named: &[(String, String, Version)]) -> Vec<Change> {
    let change = |(namespace, key, version): &(String, String, Version)| {
        let view = View::of_namespace(namespace)?;
        let id = ProductId::try_from(key.parse::<i64>().ok()?).ok()?;
        let revision = Revision { epoch: version.epoch, counter: version.counter };
        Some(Change { view, id, revision })
    };
    named.iter().filter_map(change).collect()
}

/// What journaling a write of the product `id` led to.
pub(crate) fn written(id: ProductId, journaled: &Journaled) -> Written<()> {
    let changes = changes(&journaled.changes);
    let page = changes.iter().find(|change| change.view == View::ProductPage && change.id == id);
    let revision = page.map(|change| change.revision).unwrap_or_default();
    Written { value: (), revision, changes }
}
