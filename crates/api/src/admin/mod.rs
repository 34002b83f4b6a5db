//! `/admin`: what an operator sees and switches.

mod cache;
mod config;
mod entries;
mod journal;
mod keys;
mod queries;
mod strategy;

use actix_web::middleware::from_fn;
use actix_web::web::{self, ServiceConfig};

use crate::auth;
use crate::routes::nothing;

/// All admin routes, for those who have a key.
pub(crate) fn configure(service: &mut ServiceConfig) {
    let scope = web::scope("/admin")
        .wrap(from_fn(auth::administration))
        .configure(config::configure)
        .configure(cache::configure)
        .configure(entries::configure)
        .configure(journal::configure)
        .configure(keys::configure)
        .configure(queries::configure)
        .configure(strategy::configure)
        .default_service(web::to(nothing));
    service.service(scope);
}
