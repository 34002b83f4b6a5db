//! The routes, one module per noun.

pub(crate) mod bench;
mod categories;
mod health;
mod openapi;
mod products;
mod writes;

use actix_web::http::StatusCode;
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, ResponseError};

use crate::problem::Problem;

/// All routes that do not administer.
pub(crate) fn configure(config: &mut ServiceConfig, bench: bool) {
    products::configure(config);
    writes::configure(config);
    categories::configure(config);
    health::configure(config);
    openapi::configure(config);
    if bench {
        bench::configure(config);
    }
}

/// A resource whose other methods are answered 405 with a problem.
pub(crate) fn resource(path: &str) -> actix_web::Resource {
    web::resource(path).default_service(web::to(async || {
        Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource has no such method")
            .error_response()
    }))
}

/// What is at no path.
pub(crate) async fn nothing() -> HttpResponse {
    Problem::not_found("resource").error_response()
}
