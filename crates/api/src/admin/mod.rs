//! `/admin`: what an operator sees and switches.

mod access;
mod cache;
mod config;
mod journal;
mod queries;
mod strategy;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};

pub(crate) use self::access::Access;
use crate::routes::nothing;

/// All admin routes, for those whom `access` lets in; none where it lets in nobody.
pub(crate) fn configure(service: &mut ServiceConfig, access: &Access) {
    if matches!(access, Access::Nobody) {
        return;
    }
    let access = access.clone();
    let scope = web::scope("/admin")
        .wrap(from_fn(move |request, next| access::check(access.clone(), request, next)))
        .configure(config::configure)
        .configure(cache::configure)
        .configure(journal::configure)
        .configure(queries::configure)
        .configure(strategy::configure)
        .default_service(web::to(nothing));
    service.service(scope);
}
