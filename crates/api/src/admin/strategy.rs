//! `PUT /admin/strategy`: switches a namespace of this process at run time.

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use catalog_domain::{Problems, View};
use catalog_service::{Strategy, Tiers};
use serde::Deserialize;
use serde_json::json;

use crate::app::State;
use crate::input::{self, Body};
use crate::problem::Problem;
use crate::routes::resource;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SwitchBody {
    namespace: String,
    strategy: String,
    tiers: String,
}

pub(super) fn configure(service: &mut ServiceConfig) {
    service.service(resource("/strategy").route(web::put().to(switch)));
}

async fn switch(
    request: HttpRequest,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body: SwitchBody = input::json(&request, body)?;
    let mut problems = Problems::default();
    let view = View::of_namespace(&body.namespace)
        .ok_or_else(|| format!("unknown namespace {:?}", body.namespace));
    let view = problems.check("namespace", view);
    let strategy: Result<Strategy, _> = body.strategy.parse();
    let strategy = problems.check("strategy", strategy.map_err(|error| error.to_string()));
    let tiers: Result<Tiers, _> = body.tiers.parse();
    let tiers = problems.check("tiers", tiers.map_err(|error| error.to_string()));
    let (view, strategy, tiers) = match (view, strategy, tiers) {
        (Some(view), Some(strategy), Some(tiers)) => (view, strategy, tiers),
        _ => return Err(problems.into()),
    };
    let mut settings = state.catalogue.settings(view);
    (settings.strategy, settings.tiers) = (strategy, tiers);
    settings.validate().map_err(|(field, reason)| Problem::field(field, reason))?;
    state.adopt(view, settings).await.map_err(|error| {
        tracing::warn!(%error, "strategy not adopted");
        Problem::from(&error)
    })?;
    tracing::info!(namespace = view.namespace(), %strategy, %tiers, "strategy switched");
    Ok(HttpResponse::Ok().json(json!({
        "namespace": view.namespace(),
        "strategy": strategy.as_str(),
        "tiers": tiers.as_str(),
    })))
}
