//! `GET /admin/config`: the settings in force, secrets masked.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use catalog_domain::View;
use serde_json::{Map, Value, json};

use crate::app::State;
use crate::problem::{Problem, internal};
use crate::routes::resource;

pub(super) fn configure(service: &mut ServiceConfig) {
    service.service(resource("/config").route(web::get().to(show)));
}

/// What was configured, with what was chosen at run time laid over it; `switched` says what that is.
async fn show(state: Data<State>) -> Result<HttpResponse, Problem> {
    let shown = serde_json::to_value(state.config.masked());
    let mut shown = shown.map_err(|error| internal(&error))?;
    let mut switched = Map::new();
    for (namespace, in_force) in state.switching.in_force().await {
        let Some(choice) = in_force.choice.filter(|choice| choice.wanted.is_some()) else {
            continue;
        };
        let Some(view) = View::of_namespace(namespace) else { continue };
        let settings = state.catalogue.settings(view);
        let configured = &mut shown["namespaces"][namespace];
        let mut instead_of = json!({});
        for (field, value) in
            [("strategy", settings.strategy.as_str()), ("tiers", settings.tiers.as_str())]
        {
            instead_of[field] = configured[field].take();
            configured[field] = value.into();
        }
        let about: Value = json!({
            "instead_of": instead_of,
            "generation": choice.generation,
            "changed_at": choice.changed_at,
            "usable": in_force.usable,
        });
        switched.insert(namespace.to_owned(), about);
    }
    shown["switched"] = switched.into();
    Ok(HttpResponse::Ok().json(shown))
}
