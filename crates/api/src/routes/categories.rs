//! `/categories/{slug}/products`

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use catalog_domain::{Cursor, ListRequest, MAX_LIMIT, Problems, Slug};
use serde::Deserialize;

use crate::app::State;
use crate::problem::Problem;
use crate::routes::resource;

const DEFAULT_LIMIT: u16 = 20;

/// Read as texts, so that a wrong one is named as the others are.
#[derive(Deserialize)]
struct Parameters {
    cursor: Option<String>,
    limit: Option<String>,
}

pub(super) fn configure(config: &mut ServiceConfig) {
    config.service(resource("/categories/{slug}/products").route(web::get().to(list)));
}

async fn list(
    slug: Path<String>,
    parameters: Query<Parameters>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let mut problems = Problems::default();
    let category = problems.check("slug", Slug::try_from(slug.into_inner()));
    let limit = match &parameters.limit {
        None => Some(DEFAULT_LIMIT),
        Some(text) => {
            let limit = text.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            let message = || format!("must be an integer from 1 to {MAX_LIMIT}");
            problems.check("limit", limit.ok_or_else(message))
        }
    };
    let after = match &parameters.cursor {
        None => Some(None),
        Some(text) => problems.check("cursor", Cursor::decode(text)).map(Some),
    };
    let request = category.zip(limit).zip(after).map(|((category, limit), after)| ListRequest {
        category,
        after,
        limit,
    });
    let request = problems.finish(request)?;
    let listing = state.catalogue.list(&request).await?;
    let listing = listing.ok_or_else(|| Problem::not_found("category"))?;
    Ok(HttpResponse::Ok().json(listing))
}
