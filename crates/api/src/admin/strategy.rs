//! `/admin/strategy`: what all processes run under, and switching it for all of them at once.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use catalog_domain::{Problems, View};
use larder_postgres::Process;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::State;
use crate::input::{self, Body};
use crate::problem::Problem;
use crate::routes::resource;

/// Said by a switch that only the relay makes safe.
const UNRELAYED: &str = "feed.enabled is false here: what another process wrote while it was still \
    under the former strategy has been told to nobody, and may be answered old until its TTL; \
    invalidate the namespace to be sure";

/// `strategy` null or left out: what each process is configured for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    namespace: String,
    strategy: Option<String>,
    tiers: Option<String>,
}

pub(super) fn configure(service: &mut ServiceConfig) {
    service
        .service(resource("/strategy").route(web::get().to(show)).route(web::put().to(switch)))
        .service(resource("/strategy/{namespace}").route(web::delete().to(reset)));
}

async fn show(state: Data<State>) -> Result<HttpResponse, Problem> {
    let in_force = state.switching.in_force().await;
    let namespaces: Vec<Value> = View::ALL
        .into_iter()
        .map(|view| {
            let choice = in_force.get(view.namespace()).and_then(|it| it.choice.as_ref());
            let mut shown = running(&state, view);
            let configured = state.switching.configured(view);
            shown["configured"] = json!({
                "strategy": configured.strategy.as_str(),
                "tiers": configured.tiers.as_str(),
            });
            shown["generation"] = choice.map_or(0, |choice| choice.generation).into();
            shown["changed_at"] = choice.map(|choice| choice.changed_at.as_str()).into();
            shown["chosen"] = choice.is_some_and(|choice| choice.wanted.is_some()).into();
            shown
        })
        .collect();
    let processes = state.switching.processes().await.map_err(|error| Problem::from(&error))?;
    Ok(HttpResponse::Ok().json(json!({
        "namespaces": namespaces,
        "processes": listed(&processes),
        "process": state.switching.process(),
    })))
}

async fn switch(
    request: HttpRequest,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body: SwitchBody = input::json(&request, body)?;
    let mut problems = Problems::default();
    let view = problems.check("namespace", view(&body.namespace));
    let chosen = match (&body.strategy, &body.tiers) {
        (Some(strategy), Some(tiers)) => Some(Some((strategy.as_str(), tiers.as_str()))),
        (None, None) => Some(None),
        (Some(_), None) => problems.check("tiers", Err("must be set with a strategy".to_owned())),
        (None, Some(_)) => problems.check("tiers", Err("needs a strategy".to_owned())),
    };
    let (view, chosen) = problems.finish(view.zip(chosen))?;
    put(&state, view, chosen).await
}

async fn reset(namespace: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let view = view(&namespace).map_err(|_| Problem::not_found("namespace"))?;
    put(&state, view, None).await
}

/// 200 when all processes have followed, 202 when some have not yet.
async fn put(
    state: &State,
    view: View,
    chosen: Option<(&str, &str)>,
) -> Result<HttpResponse, Problem> {
    let wanted = state.switching.settings(view, chosen);
    let wanted = wanted.map_err(|(field, reason)| Problem::field(field, reason))?.strategy;
    let former = state.catalogue.settings(view).strategy;
    let before = state.switching.processes().await.map_err(|error| Problem::from(&error))?;
    // What is to be answered must be answered before the request's own deadline.
    let patience = Duration::from_millis(state.config.server.request_deadline_ms) / 4 * 3;
    let switched = state.switching.switch(&state.catalogue, view, chosen, patience).await;
    let progress = switched.map_err(|error| Problem::from(&error))?;
    let late = progress.processes.iter().filter(|it| it.settled < progress.generation);
    let late: Vec<&str> = late.map(|process| process.name.as_str()).collect();
    if !progress.complete {
        tracing::warn!(namespace = view.namespace(), ?late, "not all processes have followed");
    }
    let mut shown = running(state, view);
    shown["generation"] = progress.generation.into();
    shown["complete"] = progress.complete.into();
    shown["late"] = late.into();
    shown["processes"] = listed(&progress.processes);
    // Who is still under `none` or `ttl` tells nobody of its writes: the relay does (docs/adr/0012). One that
    // was there and has gone may have written, too, and one that has not followed an earlier switch.
    let several = before.len().max(progress.processes.len()) > 1;
    let followed = before.iter().map(|it| it.adopted).max();
    let apart = before.iter().any(|it| Some(it.settled) < followed);
    let relied = several && wanted.is_told() && (!former.is_told() || apart);
    if relied && !state.config.feed.enabled {
        shown["warning"] = UNRELAYED.into();
    }
    let status = if progress.complete { StatusCode::OK } else { StatusCode::ACCEPTED };
    Ok(HttpResponse::build(status).json(shown))
}

fn view(namespace: &str) -> Result<View, String> {
    View::of_namespace(namespace).ok_or_else(|| format!("unknown namespace {namespace:?}"))
}

/// What `view` runs under in this process.
fn running(state: &State, view: View) -> Value {
    let settings = state.catalogue.settings(view);
    json!({
        "namespace": view.namespace(),
        "strategy": settings.strategy.as_str(),
        "tiers": settings.tiers.as_str(),
    })
}

fn listed(processes: &[Process]) -> Value {
    let listed = processes.iter().map(|process| {
        json!({
            "process": process.name,
            "address": process.address,
            "generation": process.adopted,
            "settled": process.settled,
            "seen_ms_ago": process.seen_ago.as_millis() as u64,
        })
    });
    listed.collect()
}
