//! `GET /writes/{position}`: whether a write that was answered 202 has been applied.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, ServiceConfig};
use serde_json::json;

use crate::app::State;
use crate::problem::Problem;
use crate::routes::resource;
use crate::writes::{found, pending, position};

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/writes/{position}").route(web::get().to(show)));
}

async fn show(at: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    let position = position(&at)?;
    let pending = pending(&state, "write")?;
    let found = found(pending.find(position).await)?;
    let became = found.ok_or_else(|| Problem::not_found("write"))?;
    Ok(HttpResponse::Ok().json(json!({ "position": position, "state": became.as_str() })))
}
