//! Writes that wait in a journal: where the catalogue gets it, and how its answers look.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::ETAG;
use catalog_domain::{Operation, ProductId, Refusal, RepositoryError, Written};
use catalog_repository::{PostgresCatalogue, journal_key};
use catalog_service::{CatalogueError, Dictionary, JournaledPatches, PendingWrites};
use larder::{
    Declined, Journal, JournalError, Mode, ReplicatedJournal, ReplicatedOptions, VolatileJournal,
    Write, WriteBehind, WriteBehindOptions,
};
use opentelemetry::metrics::Meter;
use serde_json::json;

use crate::app::State;
use crate::config::ConfigError;
use crate::headers::etag;
use crate::problem::Problem;
use crate::session::{LARDER_VERSION, made};

/// Where in the journal a write is.
pub(crate) const LARDER_POSITION: &str = "Larder-Position";

/// What an acknowledged write rests on.
pub(crate) const LARDER_MODE: &str = "Larder-Mode";

/// The journal in Postgres.
pub(crate) fn journaled(
    repository: &PostgresCatalogue,
    options: WriteBehindOptions,
    meter: &Meter,
) -> Result<Arc<dyn PendingWrites>, ConfigError> {
    let journal = repository.journal().crashing(options.crash.clone());
    Ok(Arc::new(JournaledPatches::new(engine(journal, options, meter)?, dictionary(refusal))))
}

/// The journal in this process's memory.
pub(crate) fn volatile(
    repository: &PostgresCatalogue,
    options: WriteBehindOptions,
    meter: &Meter,
) -> Result<Arc<dyn PendingWrites>, ConfigError> {
    let journal = VolatileJournal::new(repository.sink());
    let overlay = Arc::clone(journal.overlay());
    let engine = engine(journal, options, meter)?;
    Ok(Arc::new(JournaledPatches::new(engine, dictionary(refusal)).beside(overlay)))
}

/// The journal in Redis's memory, on every replica.
pub(crate) fn replicated(
    repository: &PostgresCatalogue,
    place: &ReplicatedOptions,
    options: WriteBehindOptions,
    meter: &Meter,
) -> Result<Arc<dyn PendingWrites>, ConfigError> {
    let journal = ReplicatedJournal::new(repository.sink(), place);
    let overlay = Arc::clone(journal.overlay());
    let engine = engine(journal, options, meter)?;
    let declined = |declined| match declined {
        Declined::Refused(why) => refusal(why),
        Declined::Unkept(error) => {
            Some(CatalogueError::Journal(Arc::new(JournalError(Box::new(error)))))
        }
    };
    Ok(Arc::new(JournaledPatches::new(engine, dictionary(declined)).beside(overlay)))
}

fn engine<J: Journal>(
    journal: J,
    options: WriteBehindOptions,
    meter: &Meter,
) -> Result<WriteBehind<J>, ConfigError> {
    let engine = WriteBehind::new(journal, options)
        .map_err(|error| ConfigError::value("write_behind", error.to_string()))?;
    engine.register(meter);
    Ok(engine)
}

fn dictionary<J: Journal<Operation = Operation>>(
    refusal: fn(J::Refusal) -> Option<CatalogueError>,
) -> Dictionary<J> {
    Dictionary {
        write: |id, patch| {
            let operation = Operation::of(patch.clone()).ok()?;
            Some(Write { key: journal_key(id), operation })
        },
        key: journal_key,
        refusal,
    }
}

fn refusal(refusal: Refusal) -> Option<CatalogueError> {
    match refusal {
        Refusal::Absent => None,
        Refusal::Invalid(error) => Some(RepositoryError::Invalid(error).into()),
    }
}

/// 202: the journal holds the write, and readers see it. The mode says what that is worth. A journal
/// that is not the database's own knows no version yet.
pub(crate) fn accepted(
    id: ProductId,
    written: &Written<()>,
    position: u64,
    mode: Mode,
) -> HttpResponse {
    let mut response = HttpResponse::Accepted();
    response
        .insert_header((LARDER_POSITION, position.to_string()))
        .insert_header((LARDER_MODE, mode.as_str()));
    if written.changes.is_empty() {
        return response.json(json!({ "position": position, "mode": mode.as_str() }));
    }
    let version = written.revision.to_string();
    response
        .insert_header((ETAG, etag(written.revision)))
        .insert_header((LARDER_VERSION, made(written, id)))
        .json(json!({ "version": version, "position": position, "mode": mode.as_str() }))
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

/// What the journal has answered that was asked what it holds.
pub(crate) fn found<T>(answer: Result<T, JournalError>) -> Result<T, Problem> {
    answer.map_err(|error| {
        tracing::warn!(%error, "the journal cannot be asked");
        Problem::unavailable("the journal is unavailable", Duration::from_secs(1))
    })
}
