//! `/admin/keys`: the keys of those who write and administer.

use actix_web::http::header::LOCATION;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use catalog_repository::ShownKey;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::State;
use crate::auth::{self, KeyError};
use crate::input::{self, Body};
use crate::problem::{Problem, internal};
use crate::routes::resource;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyBody {
    scopes: Vec<String>,
    #[serde(default)]
    note: String,
}

pub(super) fn configure(service: &mut ServiceConfig) {
    service
        .service(resource("/keys").route(web::get().to(list)).route(web::post().to(create)))
        .service(resource("/keys/{id}").route(web::delete().to(revoke)));
}

async fn list(state: Data<State>) -> Result<HttpResponse, Problem> {
    let keys = state.auth.keys().list().await.map_err(|error| Problem::from(&error))?;
    let keys: Vec<Value> = keys.iter().map(shown).collect();
    Ok(HttpResponse::Ok().json(json!({ "keys": keys })))
}

/// 201 with the key, which is shown this once.
async fn create(
    request: HttpRequest,
    body: Body,
    state: Data<State>,
) -> Result<HttpResponse, Problem> {
    let body: KeyBody = input::json(&request, body)?;
    let scopes = auth::scopes(&body.scopes).map_err(|reason| Problem::field("scopes", reason))?;
    let fresh = auth::create(state.auth.keys(), &scopes, &body.note).await?;
    tracing::info!(id = fresh.id, scopes = ?body.scopes, "a key was made");
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/admin/keys/{}", fresh.id)))
        .insert_header(("Cache-Control", "no-store"))
        .json(json!({
            "id": fresh.id,
            "key": fresh.text,
            "scopes": body.scopes,
            "note": body.note,
        })))
}

async fn revoke(id: Path<String>, state: Data<State>) -> Result<HttpResponse, Problem> {
    // Such a text is not Postgres's to look for.
    if !auth::is_id(&id) {
        return Err(Problem::not_found("key"));
    }
    let revoked = state.auth.keys().revoke(&id).await.map_err(|error| Problem::from(&error))?;
    if !revoked {
        return Err(Problem::not_found("key"));
    }
    state.auth.forget(&id);
    tracing::warn!(id = id.as_str(), "a key was revoked");
    Ok(HttpResponse::NoContent().finish())
}

fn shown(key: &ShownKey) -> Value {
    json!({
        "id": key.id,
        "scopes": key.scopes,
        "note": key.note,
        "created_at": key.created_at,
        "revoked_at": key.revoked_at,
    })
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Field { field, reason } => Self::field(field, reason),
            KeyError::Database(error) => Self::from(&error),
            KeyError::Random(_) => internal(&error),
        }
    }
}
