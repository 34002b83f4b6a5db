//! `/bench/static`: the yardstick. The same server, middleware and headers as a page from L2,
//! without a cache behind it.

use actix_web::web::{self, Data, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use bytes::Bytes;
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
    config.service(resource("/bench/static").route(web::get().to(body)));
}

async fn body(
    request: HttpRequest,
    parameters: Query<Parameters>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    if parameters.bytes > MAX_BYTES {
        return Err(Problem::field("bytes", format!("must be at most {MAX_BYTES}")));
    }
    let body: Bytes = state.filler.slice(..parameters.bytes);
    let status = "larder; hit; ttl=3600; detail=static".to_owned();
    Ok(view(&request, "\"1-1\"", status, body))
}

/// What static bodies are cut from.
pub(crate) fn filler() -> Bytes {
    vec![b' '; MAX_BYTES].into()
}
