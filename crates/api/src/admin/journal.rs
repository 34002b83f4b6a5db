//! `/admin/journal`: what waits. `/admin/dead-letters`: what could not be applied.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use larder::DeadLetter;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::State;
use crate::problem::Problem;
use crate::routes::resource;
use crate::writes::{found, pending, position};

/// Dead letters that are listed at most.
const MOST: usize = 1_000;
/// Dead letters that are listed where the caller does not say how many.
const USUAL: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
}

pub(super) fn configure(service: &mut ServiceConfig) {
    service
        .service(resource("/journal").route(web::get().to(show)))
        .service(resource("/dead-letters").route(web::get().to(list)))
        .service(
            resource("/dead-letters/{position}")
                .route(web::get().to(show_letter))
                .route(web::delete().to(discard)),
        )
        .service(resource("/dead-letters/{position}/replay").route(web::post().to(replay)));
}

async fn show(state: Data<State>) -> Result<HttpResponse, Problem> {
    let pending = pending(&state, "journal")?;
    let held = found(pending.state().await)?;
    let status = pending.status();
    Ok(HttpResponse::Ok().json(json!({
        "mode": status.mode.as_str(),
        "depth": held.depth,
        "oldest_age_ms": held.oldest.as_millis() as u64,
        "dead_letters": held.dead,
        "process": {
            "appended": status.appended,
            "appends": status.appends,
            "full": status.full,
            "flushed": status.flushed,
            "flushes": status.flushes,
            "coalesced": status.coalesced,
            "failed": status.failed,
        },
    })))
}

async fn list(query: Query<ListQuery>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let most = query.limit.unwrap_or(USUAL).min(MOST);
    let letters = found(pending(&state, "journal")?.dead_letters(most).await)?;
    let shown: Vec<Value> = letters.iter().map(letter).collect();
    Ok(HttpResponse::Ok().json(json!({ "dead_letters": shown })))
}

async fn show_letter(at: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    let letters = found(pending(&state, "journal")?.dead_letters(MOST).await)?;
    let it = letters.iter().find(|letter| letter.position == position);
    Ok(HttpResponse::Ok().json(letter(it.ok_or_else(|| Problem::not_found("dead letter"))?)))
}

async fn discard(at: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    if found(pending(&state, "journal")?.discard(position).await)? {
        tracing::warn!(position, "a dead letter was discarded");
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::not_found("dead letter"))
}

async fn replay(at: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    let again = state.catalogue.replay(position).await?;
    let again = again.ok_or_else(|| Problem::not_found("dead letter"))?;
    Ok(HttpResponse::Accepted().json(json!({ "position": again })))
}

fn letter(letter: &DeadLetter) -> Value {
    json!({
        "position": letter.position,
        "key": letter.key,
        "operation": letter.operation,
        "error": letter.error,
        "attempts": letter.attempts,
        "age_ms": letter.age.as_millis() as u64,
    })
}
