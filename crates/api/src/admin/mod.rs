//! `/admin`: what an operator sees and switches. Served on loopback addresses only.

mod cache;
mod config;
mod queries;
mod strategy;

use actix_web::web::ServiceConfig;

pub(crate) fn configure(service: &mut ServiceConfig) {
    config::configure(service);
    cache::configure(service);
    queries::configure(service);
    strategy::configure(service);
}
