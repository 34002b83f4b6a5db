//! Writes that wait in a journal: where the catalogue gets it, and how its answers look.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use catalog_domain::{Operation, ProductId, ProductPatch, Refusal, RepositoryError, Written};
use catalog_repository::{CatalogueJournal, journal_key};
use catalog_service::{CatalogueError, Dictionary, JournaledPatches, PendingWrites};
use larder::{JournalError, Write, WriteBehind, WriteBehindOptions};
use opentelemetry::metrics::Meter;
use serde_json::json;

use crate::app::State;
use crate::config::ConfigError;
use crate::headers::etag;
use crate::problem::Problem;
use crate::session::{LARDER_VERSION, made};

/// Where in the journal a write is.
pub(crate) const LARDER_POSITION: &str = "Larder-Position";

/// How long a stop waits until what is journaled is applied. What is not is applied by another
/// process, or after the next start.
pub(crate) const DRAIN: Duration = Duration::from_secs(5);

/// Write-behind into `journal`.
pub(crate) fn journaled(
    journal: CatalogueJournal,
    options: WriteBehindOptions,
    meter: &Meter,
) -> Result<Arc<dyn PendingWrites>, ConfigError> {
    let engine = WriteBehind::new(journal, options)
        .map_err(|error| ConfigError::value("write_behind", error.to_string()))?;
    engine.register(meter);
    let write = |id: ProductId, patch: &ProductPatch| {
        let operation = Operation::of(patch.clone()).ok()?;
        Some(Write { key: journal_key(id), operation })
    };
    let refusal = |refusal: Refusal| match refusal {
        Refusal::Absent => None,
        Refusal::Invalid(error) => Some(RepositoryError::Invalid(error)),
    };
    Ok(Arc::new(JournaledPatches::new(engine, Dictionary { write, refusal })))
}

/// 202: the journal holds the write, and readers see it.
pub(crate) fn accepted(id: ProductId, written: &Written<()>, position: u64) -> HttpResponse {
    HttpResponse::Accepted()
        .insert_header((ETAG, etag(written.revision)))
        .insert_header((LARDER_VERSION, made(written, id)))
        .insert_header((LARDER_POSITION, position.to_string()))
        .json(json!({ "version": written.revision.to_string(), "position": position }))
}

/// The journal; 404 for a `what` where there is none.
pub(crate) fn pending<'a>(
    state: &'a State,
    what: &str,
) -> Result<&'a Arc<dyn PendingWrites>, Problem> {
    state.catalogue.pending().ok_or_else(|| Problem::not_found(what))
}

/// A position out of a path.
pub(crate) fn position(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| Problem::field("position", "must be a whole number"))
}

/// What the journal has answered.
pub(crate) fn found<T>(answer: Result<T, JournalError>) -> Result<T, Problem> {
    answer.map_err(|error| CatalogueError::Journal(Arc::new(error)).into())
}
