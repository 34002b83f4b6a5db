//! `write-behind`: reads as read-through; a write goes to a journal, what it changes is
//! invalidated, and then it is answered; Postgres's tables get it later, together with others.
//!
//! A write that was answered is seen at once: each load lays what waits for its key over the row
//! that it reads, in one statement, and the version that the journal gave to the write is newer
//! than any that is cached. Nothing is published, for that would cost the load that the journal
//! saves. What cannot wait (a new product, a whole new content, a review, a deletion, a patch of
//! both price and stock, anything conditional) is written at once, after what waits for its product.

use catalog_domain::{ProductId, ProductPatch};

use crate::error::CatalogueError;
use crate::pending::{PendingWrites, Taken};

pub(crate) use crate::read_through::{read, written};

/// Journals `patch`, where there is a journal and it can wait.
pub(crate) async fn journal(
    pending: Option<&dyn PendingWrites>,
    id: ProductId,
    patch: &ProductPatch,
) -> Result<Taken, CatalogueError> {
    match pending {
        Some(pending) => pending.patch(id, patch).await,
        None => Ok(Taken::Synchronously),
    }
}
