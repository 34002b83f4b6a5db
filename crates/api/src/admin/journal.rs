//! `/admin/journal`: what waits. `/admin/dead-letters`: what could not be applied.
//!
//! Where the mode is not `journaled`, the journal in Postgres is there all the same, for what was left in
//! it: its dead letters are shown with the others, each with its mode.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use catalog_service::PendingWrites;
use larder::{DeadLetter, Mode};
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
/// A journal that does not answer.
const UNAVAILABLE: &str = "unavailable";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListQuery {
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LetterQuery {
    mode: Option<String>,
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
    let mut left = Vec::new();
    for journal in state.catalogue.journals().skip(1) {
        let mode = journal.status().mode.as_str();
        // Another server than the mode's own may have it: one that is gone hides only what it has.
        left.push(found(journal.state().await).map_or_else(
            |_| json!({ "mode": mode, "error": UNAVAILABLE }),
            |held| {
                json!({
                    "mode": mode,
                    "depth": held.depth,
                    "oldest_age_ms": held.oldest.as_millis() as u64,
                    "dead_letters": held.dead,
                })
            },
        ));
    }
    Ok(HttpResponse::Ok().json(json!({
        "left": left,
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
    pending(&state, "journal")?;
    let mut letters = Vec::new();
    let mut unavailable = Vec::new();
    let mut problem = None;
    let mut asked = 0;
    for journal in state.catalogue.journals() {
        asked += 1;
        let mode = journal.status().mode;
        match found(journal.dead_letters(most).await) {
            Ok(oldest) => letters.extend(oldest.into_iter().map(|letter| (letter, mode))),
            Err(why) => {
                unavailable.push(mode.as_str());
                problem = Some(why);
            }
        }
    }
    if let Some(problem) = problem.filter(|_| unavailable.len() == asked) {
        return Err(problem);
    }
    letters.sort_by_key(|(letter, _)| std::cmp::Reverse(letter.age));
    let shown: Vec<Value> = letters.iter().take(most).map(|(it, mode)| letter(it, *mode)).collect();
    Ok(HttpResponse::Ok().json(json!({ "dead_letters": shown, UNAVAILABLE: unavailable })))
}

async fn show_letter(
    at: Path<String>,
    query: Query<LetterQuery>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let (journal, it) = one(&state, position(&at)?, &query).await?;
    Ok(HttpResponse::Ok().json(letter(&it, journal.status().mode)))
}

async fn discard(
    at: Path<String>,
    query: Query<LetterQuery>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    let (journal, _) = one(&state, position, &query).await?;
    let is_gone = journal.discard(position).await.map_err(|error| {
        tracing::warn!(position, %error, "it is not known whether a dead letter was discarded");
        let detail = "the journal did not answer: the dead letter may be gone or not";
        Problem::unavailable(detail, Duration::from_secs(1))
    })?;
    if is_gone {
        let mode = journal.status().mode.as_str();
        tracing::warn!(position, mode, "a dead letter was discarded");
        return Ok(HttpResponse::NoContent().finish());
    }
    Err(Problem::not_found("dead letter"))
}

async fn replay(
    at: Path<String>,
    query: Query<LetterQuery>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    let (journal, _) = one(&state, position, &query).await?;
    let again = state.catalogue.replay(journal, position).await?;
    let again = again.ok_or_else(|| Problem::not_found("dead letter"))?;
    let mode = journal.status().mode.as_str();
    Ok(HttpResponse::Accepted().json(json!({ "position": again, "mode": mode })))
}

/// The dead letter at `position`, and the journal that has it. Two journals may have one there: then the
/// query must say which is meant.
async fn one<'a>(
    state: &'a State,
    position: u64,
    query: &LetterQuery,
) -> Result<(&'a Arc<dyn PendingWrites>, DeadLetter), Problem> {
    let wanted = query.mode.as_deref().map(str::parse::<Mode>).transpose();
    let wanted = wanted.map_err(|unknown| Problem::field("mode", unknown.to_string()))?;
    pending(state, "journal")?;
    let mut all = Vec::new();
    for journal in state.catalogue.journals() {
        if wanted.is_none_or(|mode| mode == journal.status().mode)
            && let Some(letter) = found(journal.dead_letter(position).await)?
        {
            all.push((journal, letter));
        }
    }
    let one = all.pop().ok_or_else(|| Problem::not_found("dead letter"))?;
    if all.is_empty() {
        return Ok(one);
    }
    Err(Problem::field("mode", "must say which is meant: two journals have a dead letter there"))
}

fn letter(letter: &DeadLetter, mode: Mode) -> Value {
    json!({
        "position": letter.position,
        "mode": mode.as_str(),
        "key": letter.key,
        "operation": letter.operation,
        "error": letter.error,
        "attempts": letter.attempts,
        "age_ms": letter.age.as_millis() as u64,
    })
}
