//! `/openapi.json`: every route as it is, for people and generators of clients.

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

use crate::routes::resource;

const DOCUMENT: &str = include_str!("../../openapi.json");

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/openapi.json").route(web::get().to(show)));
}

async fn show() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT)
}
