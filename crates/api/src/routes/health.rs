//! `/healthz`, `/readyz`, `/metrics`

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use catalog_domain::ProductRepository;
use serde_json::json;

use crate::app::State;
use crate::routes::resource;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/healthz").route(web::get().to(live)))
        .service(resource("/readyz").route(web::get().to(ready)))
        .service(resource("/metrics").route(web::get().to(metrics)));
}

/// The process runs and answers; nothing else is asked.
async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// Ready means that Postgres answers: without Redis, requests are slower but served. A process that
/// is about to end is not, while it still serves: balancers are to ask others.
async fn ready(state: Data<State>) -> HttpResponse {
    if state.closing.has_begun() {
        let body = json!({ "status": "closing" });
        return HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "1")).json(body);
    }
    let postgres = state.catalogue.repository().ready().await;
    let redis = state.catalogue.shared().l2.is_available();
    let word = |up| if up { "up" } else { "down" };
    let body = json!({ "postgres": word(postgres.is_ok()), "redis": word(redis) });
    match postgres {
        Ok(()) => HttpResponse::Ok().json(body),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            HttpResponse::ServiceUnavailable().insert_header(("Retry-After", "1")).json(body)
        }
    }
}

async fn metrics(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(larder_telemetry::prometheus(&state.registry))
}
