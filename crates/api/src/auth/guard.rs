//! What requests need a key, and which.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage, ResponseError};

use super::{Caller, Refused, Scope};
use crate::app::State;
use crate::problem::Problem;

/// Around everything: whoever changes something must be allowed to write. What is read here is open.
pub(crate) async fn writes<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    if !request.method().is_safe()
        && let Err(refused) = require(&request, Scope::Write).await
    {
        return Ok(refusing(request, &refused));
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

/// Around `/admin`: looking needs a key, and changing one that may administer.
pub(crate) async fn administration<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let safe = request.method().is_safe();
    let caller = match require(&request, if safe { Scope::Read } else { Scope::Admin }).await {
        Ok(caller) => caller,
        Err(refused) => return Ok(refusing(request, &refused)),
    };
    if !safe {
        tracing::info!(key = &*caller.id, method = %request.method(), "administration");
    }
    next.call(request).await.map(ServiceResponse::map_into_left_body)
}

/// An answer and no error: errors of middlewares are in no metric of HTTP.
fn refusing<B>(request: ServiceRequest, problem: &Problem) -> ServiceResponse<EitherBody<B>> {
    request.into_response(problem.error_response()).map_into_right_body()
}

/// Who asks, if he may do what `scope` allows; it is found out once for a request.
async fn require(request: &ServiceRequest, scope: Scope) -> Result<Caller, Problem> {
    let known = request.extensions().get::<Caller>().cloned();
    let caller = match known {
        Some(caller) => caller,
        None => {
            let state = request.app_data::<Data<State>>().expect("every request has the state");
            let shown = bearer(request).ok_or(Refused::Missing);
            let caller = match shown {
                Ok(text) => state.auth.identify(text).await,
                Err(missing) => Err(missing),
            };
            let caller = caller?;
            request.extensions_mut().insert(caller.clone());
            caller
        }
    };
    if caller.scope >= scope {
        return Ok(caller);
    }
    tracing::debug!(key = &*caller.id, needed = %scope, "a key does not allow what was asked");
    let detail = format!("this key does not have the scope {scope}");
    let challenge =
        format!("Bearer realm=\"larder\", error=\"insufficient_scope\", scope=\"{scope}\"");
    Err(Problem::new(StatusCode::FORBIDDEN, detail).challenging(challenge))
}

fn bearer(request: &ServiceRequest) -> Option<&str> {
    let text = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = text.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Missing => Self::unauthorized("this needs a key: Authorization: Bearer …")
                .challenging("Bearer realm=\"larder\""),
            // Not said whether it is unknown, wrong or revoked.
            Refused::Wrong => Self::unauthorized("this key opens nothing")
                .challenging("Bearer realm=\"larder\", error=\"invalid_token\""),
            Refused::Busy => Self::busy("too many keys are being verified"),
            Refused::Unavailable(error) => Self::from(&*error),
        }
    }
}
