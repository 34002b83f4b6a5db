//! `GET /admin/config`: the settings in force, secrets masked.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};

use crate::app::State;
use crate::routes::resource;

pub(super) fn configure(service: &mut ServiceConfig) {
    service.service(resource("/config").route(web::get().to(show)));
}

async fn show(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.config.masked())
}
