//! `/products`

use actix_web::http::header::{ETAG, LOCATION};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use catalog_domain::{ProductId, View, Written};
use catalog_service::Receipt;
use larder::CallOptions;
use serde_json::json;

use crate::app::State;
use crate::condition;
use crate::headers::{etag, reply};
use crate::input::{self, Body, PatchBody, ProductBody, ReplacementBody, ReviewBody};
use crate::problem::Problem;
use crate::routes::resource;
use crate::session::{LARDER_VERSION, asked, made};
use crate::writes;

pub(super) fn configure(config: &mut ServiceConfig) {
    config
        .service(resource("/products").route(web::post().to(create)))
        .service(
            resource("/products/{id}")
                .route(web::get().to(page))
                .route(web::head().to(page))
                .route(web::put().to(replace))
                .route(web::patch().to(patch))
                .route(web::delete().to(delete)),
        )
        .service(
            resource("/products/{id}/summary")
                .route(web::get().to(summary))
                .route(web::head().to(summary)),
        )
        .service(resource("/products/{id}/reviews").route(web::post().to(add_review)));
}

async fn page(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let found = state.catalogue.page(input::id(&id)?, &call(&request, View::ProductPage)?).await?;
    Ok(reply(&request, "product", found))
}

async fn summary(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let found =
        state.catalogue.summary(input::id(&id)?, &call(&request, View::ProductSummary)?).await?;
    Ok(reply(&request, "product", found))
}

async fn create(
    request: HttpRequest,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let product = input::json::<ProductBody>(&request, body)?.into_draft()?;
    let written = state.catalogue.create(product).await?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/products/{}", written.value)))
        .insert_header((ETAG, etag(written.revision)))
        .insert_header((LARDER_VERSION, made(&written, written.value)))
        .json(json!({ "id": written.value })))
}

async fn replace(
    request: HttpRequest,
    id: Path<String>,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = input::id(&id)?;
    let content = input::json::<ReplacementBody>(&request, body)?.into_draft()?;
    let condition = condition::asked(request.headers())?;
    done(id, state.catalogue.replace(id, content, condition).await?)
}

async fn patch(
    request: HttpRequest,
    id: Path<String>,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = input::id(&id)?;
    let patch = input::json::<PatchBody>(&request, body)?.into_draft()?;
    let condition = condition::asked(request.headers())?;
    let receipt = state.catalogue.patch(id, patch, condition).await?;
    let Receipt { written, position } = receipt.ok_or_else(|| Problem::not_found("product"))?;
    match position {
        Some(position) => {
            let mode = writes::pending(&state, "journal")?.status().mode;
            Ok(writes::accepted(id, &written, position, mode))
        }
        None => done(id, Some(written)),
    }
}

async fn add_review(
    request: HttpRequest,
    id: Path<String>,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = input::id(&id)?;
    let review = input::json::<ReviewBody>(&request, body)?.into_draft()?;
    let written = state.catalogue.add_review(id, review).await?;
    let written = written.ok_or_else(|| Problem::not_found("product"))?;
    Ok(HttpResponse::Created()
        .insert_header((LARDER_VERSION, made(&written, id)))
        .json(json!({ "id": written.value })))
}

async fn delete(
    request: HttpRequest,
    id: Path<String>,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let id = input::id(&id)?;
    let condition = condition::asked(request.headers())?;
    let deleted = state.catalogue.delete(id, condition).await?;
    let deleted = deleted.ok_or_else(|| Problem::not_found("product"))?;
    Ok(HttpResponse::NoContent().insert_header((LARDER_VERSION, made(&deleted, id))).finish())
}

/// 200 with the new version: the write is durable in the database.
fn done(id: ProductId, written: Option<Written<()>>) -> Result<HttpResponse, Problem> {
    let written = written.ok_or_else(|| Problem::not_found("product"))?;
    Ok(HttpResponse::Ok()
        .insert_header((ETAG, etag(written.revision)))
        .insert_header((LARDER_VERSION, made(&written, id)))
        .json(json!({ "version": written.revision.to_string() })))
}

/// What a read of `view` asks of the cache.
fn call(request: &HttpRequest, view: View) -> Result<CallOptions, Problem> {
    let min_version = asked(request.headers(), view)?;
    Ok(CallOptions { min_version, ..CallOptions::default() })
}
