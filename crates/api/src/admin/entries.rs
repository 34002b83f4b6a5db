//! `/admin/cache/{namespace}`: single entries, to look at and to make old; and all of a namespace.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, ServiceConfig};
use catalog_domain::{RepositoryError, View};
use catalog_service::{Strategy, Tiers};
use larder::{Freshness, Held, Invalidation, State as EntryState};
use larder_postgres::{clear, invalidate_key};
use serde_json::{Value, json};

use crate::app::State;
use crate::input;
use crate::problem::Problem;
use crate::routes::resource;

pub(super) fn configure(service: &mut ServiceConfig) {
    service
        .service(resource("/cache/{namespace}").route(web::delete().to(empty)))
        .service(
            resource("/cache/{namespace}/{key}")
                .route(web::get().to(inspect))
                .route(web::delete().to(make_old)),
        )
        .service(resource("/cache/{namespace}/tags/{tag}").route(web::delete().to(refuse_tag)));
}

async fn inspect(
    path: Path<(String, String)>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let (view, id) = (view(&path.0)?, input::id(&path.1)?);
    let found = state.catalogue.inspect(view, id).await;
    let (l2, unavailable) = match &found.l2 {
        Ok(held) => (held.as_ref().map(held_as), None),
        Err(why) => (None, Some(*why)),
    };
    Ok(HttpResponse::Ok().json(json!({
        "namespace": view.namespace(),
        "key": id.to_string(),
        "l1": found.l1.as_ref().map(held_as),
        "l2": l2,
        "l2_unavailable": unavailable,
    })))
}

/// `told`: whether Redis and the backplane have it; else `told_later`: whether the change feed tells it, which it
/// does not under `ttl`. There `kept_elsewhere_ms` says for how long, at most, what is old can still be answered: by a
/// process that does not hear of it, or, if L2 has not taken it, by all out of that.
async fn make_old(
    path: Path<(String, String)>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let (view, id) = (view(&path.0)?, input::id(&path.1)?);
    let db = state.catalogue.repository().database();
    let version = invalidate_key(db, view.namespace(), &id.to_string()).await;
    let version = version.map_err(unavailable)?;
    let outcome = state.catalogue.make_old(view, id, version).await;
    tracing::info!(namespace = view.namespace(), %id, "a key was invalidated");
    let settings = state.catalogue.settings(view);
    let is_told = matches!(outcome, Invalidation::Done);
    let in_l1 = matches!(settings.tiers, Tiers::L1 | Tiers::L1L2);
    let in_l2 = matches!(settings.tiers, Tiers::L2 | Tiers::L1L2);
    // Under any other strategy a process that hears nothing does not use what it holds.
    let kept = match settings.strategy {
        Strategy::Ttl if in_l2 && !is_told => {
            settings.options.ttl.map(|ttl| ttl.saturating_add(settings.options.stale_for))
        }
        Strategy::Ttl if in_l1 => Some(settings.l1.ttl),
        _ => None,
    };
    let mut shown = json!({
        "namespace": view.namespace(),
        "key": id.to_string(),
        "version": version.to_string(),
        "told": is_told,
        "told_later": !is_told && settings.strategy.is_told() && state.config.feed.enabled,
    });
    if let Some(kept) = kept {
        shown["kept_elsewhere_ms"] = (kept.as_millis() as u64).into();
    }
    Ok(HttpResponse::Ok().json(shown))
}

/// There is nothing to make old: tags cost every hit in L2 a second read, and the views have none
/// (docs/adr/0013).
async fn refuse_tag(path: Path<(String, String)>) -> Result<HttpResponse, Problem> {
    let view = view(&path.0)?;
    let detail = format!(
        "no value of {} has tags, so none has become old: invalidate a key, or all of the namespace",
        view.namespace()
    );
    Err(Problem::new(StatusCode::CONFLICT, detail))
}

async fn empty(namespace: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let view = view(&namespace)?;
    let db = state.catalogue.repository().database();
    let epoch = clear(db, view.namespace()).await.map_err(unavailable)?;
    let told = match &state.catalogue.shared().coherence {
        Some(coherence) => coherence.raise_epoch(view.namespace(), epoch).await,
        None => false,
    };
    // What is not kept coherent is set up anew, for the new epoch.
    state.switching.follow(&state.catalogue).await.map_err(|error| Problem::from(&error))?;
    tracing::info!(namespace = view.namespace(), epoch, "a namespace was invalidated");
    Ok(HttpResponse::Ok().json(json!({
        "namespace": view.namespace(),
        "epoch": epoch,
        "told": told,
        "told_later": !told && state.config.feed.enabled,
    })))
}

fn view(namespace: &str) -> Result<View, Problem> {
    View::of_namespace(namespace).ok_or_else(|| Problem::not_found("namespace"))
}

fn held_as(held: &Held) -> Value {
    let state = match held.state {
        EntryState::Value => "value",
        EntryState::Negative => "negative",
        EntryState::Tombstone => "tombstone",
        EntryState::Lease => "lease",
        EntryState::Unreadable => "unreadable",
    };
    let tags = held.tags.iter().map(|tag| (tag.name.to_string(), tag.version.to_string().into()));
    json!({
        "state": state,
        "version": held.version.to_string(),
        "bytes": held.bytes,
        "expires_in_ms": held.expires_in.as_millis() as u64,
        "stale": held.freshness == Freshness::Stale,
        "leased": held.leased,
        "tags": tags.collect::<serde_json::Map<String, Value>>(),
    })
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> Problem {
    Problem::from(&RepositoryError::Unavailable(Box::new(error)))
}
