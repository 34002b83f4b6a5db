//! The yardsticks, with the same server, middleware and headers as a page: `/bench/static`, without
//! a cache behind it, and `/bench/redis`, with one bare GET.

use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
use larder::L2;
use serde::Deserialize;

use crate::app::State;
use crate::headers::view;
use crate::problem::Problem;
use crate::routes::resource;

const MAX_BYTES: usize = 1_048_576;

#[derive(Deserialize)]
struct Parameters {
    bytes: usize,
}

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/bench/static").route(web::get().to(from_memory)))
        .service(resource("/bench/redis").route(web::get().to(from_redis)));
}

async fn from_memory(
    request: HttpRequest,
    parameters: Query<Parameters>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = parameters.body(&state)?;
    let status = "larder; hit; ttl=3600; detail=static".to_owned();
    Ok(view(&request, "\"1-1\"", status, body))
}

async fn from_redis(
    request: HttpRequest,
    parameters: Query<Parameters>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body = parameters.body(&state)?;
    let found = match &*state.catalogue.shared().l2 {
        L2::Redis(tier) => tier.bare_get(&body).await,
        L2::Memory(_) => None,
    };
    let found = found.ok_or_else(|| Problem::not_found("answer of Redis"))?;
    let status = "larder; hit; ttl=3600; detail=bare".to_owned();
    Ok(view(&request, "\"1-1\"", status, found))
}

impl Parameters {
    fn body(&self, state: &State) -> Result<Bytes, Problem> {
        if self.bytes > MAX_BYTES {
            return Err(Problem::field("bytes", format!("must be at most {MAX_BYTES}")));
        }
        Ok(state.filler.slice(..self.bytes))
    }
}

/// What static bodies are cut from.
pub(crate) fn filler() -> Bytes {
    vec![b' '; MAX_BYTES].into()
}
