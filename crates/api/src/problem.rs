//! The one place where an error becomes an HTTP answer: RFC 9457 problem details.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{Error, HttpResponse, HttpResponseBuilder, ResponseError};
use catalog_domain::{Problems, RepositoryError, ValidationError};
use catalog_service::CatalogueError;
use larder::StillRefused;
use serde::Serialize;

/// An error as a client sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldProblem>,
    #[serde(skip)]
    retry_after: Option<Duration>,
    /// `WWW-Authenticate`.
    #[serde(skip)]
    challenge: Option<Box<str>>,
}

#[derive(Debug, Serialize)]
struct FieldProblem {
    field: String,
    message: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: Some(detail.into()),
            errors: Vec::new(),
            retry_after: None,
            challenge: None,
        }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("there is no such {what}"))
    }

    /// 401: who asks must show a key, or another one.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, detail)
    }

    /// The same, saying in `WWW-Authenticate` what is asked for.
    pub(crate) fn challenging(mut self, challenge: impl Into<Box<str>>) -> Self {
        self.challenge = Some(challenge.into());
        self
    }

    /// 503: there is more to do of something than is done at a time.
    pub(crate) fn busy(detail: &str) -> Self {
        Self::unavailable(detail, Duration::from_secs(1))
    }

    /// 400 with the field named.
    pub(crate) fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Problems(vec![ValidationError::new(field, message)]).into()
    }

    fn with_field(mut self, error: ValidationError) -> Self {
        self.errors.push(FieldProblem { field: error.field, message: error.message });
        self
    }

    /// 503 with Retry-After.
    pub(crate) fn unavailable(detail: &str, retry_after: Duration) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, detail);
        problem.retry_after = Some(retry_after);
        problem
    }

    pub(crate) fn deadline() -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, "the request took longer than it may")
    }
}

impl From<Problems> for Problem {
    fn from(problems: Problems) -> Self {
        let problem = Self::new(StatusCode::BAD_REQUEST, "the request has invalid fields");
        problems.0.into_iter().fold(problem, Self::with_field)
    }
}

impl From<CatalogueError> for Problem {
    fn from(error: CatalogueError) -> Self {
        match error {
            CatalogueError::Overloaded { retry_after } => {
                Self::unavailable("too many reads of the database at once", retry_after)
            }
            CatalogueError::JournalFull { retry_after } => {
                let detail = "too many writes wait to be applied";
                let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, detail);
                problem.retry_after = Some(retry_after);
                problem
            }
            CatalogueError::Journal(error) if error.0.is::<StillRefused>() => {
                Self::new(StatusCode::CONFLICT, error.0.to_string())
            }
            CatalogueError::Journal(error) => {
                tracing::warn!(%error, "it is not known whether a write was journaled");
                // Not said to be undone: the answer of the journal was lost, perhaps not the write.
                let detail = "the journal did not answer: the write may have been taken or not";
                Self::unavailable(detail, Duration::from_secs(1))
            }
            CatalogueError::Deadline(_) => {
                tracing::warn!(%error, "a load was cancelled");
                Self::unavailable("the database took too long", Duration::from_secs(1))
            }
            CatalogueError::Repository(_)
            | CatalogueError::Load(_)
            | CatalogueError::Render(_)
            | CatalogueError::Lost => match error.repository() {
                Some(error) => error.into(),
                None => internal(&error),
            },
        }
    }
}

impl From<&RepositoryError> for Problem {
    fn from(error: &RepositoryError) -> Self {
        match error {
            RepositoryError::Unavailable(cause) => {
                tracing::warn!(%cause, "the database is unavailable");
                Self::unavailable("the database is unavailable", Duration::from_secs(1))
            }
            RepositoryError::Timeout => {
                tracing::warn!("a statement ran into its timeout");
                Self::unavailable("the database took too long", Duration::from_secs(1))
            }
            RepositoryError::Conflict(error) => {
                Self::new(StatusCode::CONFLICT, "something else is there already")
                    .with_field(error.clone())
            }
            RepositoryError::Invalid(error) => Problems(vec![error.clone()]).into(),
            RepositoryError::Moved { found } => Self::new(
                StatusCode::PRECONDITION_FAILED,
                format!("the product has changed: it is at revision {found}"),
            ),
            RepositoryError::Corrupt { .. } | RepositoryError::Internal(_) => internal(error),
        }
    }
}

/// 500: the cause goes to the log, once, and not to the client.
pub(crate) fn internal(cause: &dyn std::error::Error) -> Problem {
    tracing::error!(%cause, "request failed");
    Problem {
        detail: Some("the cause is in the service's log".to_owned()),
        ..Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.title)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).expect("made from a status code")
    }

    fn error_response(&self) -> HttpResponse {
        let mut response: HttpResponseBuilder = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(retry_after) = self.retry_after {
            // Whole seconds, rounded up.
            response.insert_header((RETRY_AFTER, retry_after.as_millis().div_ceil(1_000) as u64));
        }
        if let Some(challenge) = &self.challenge {
            response.insert_header((WWW_AUTHENTICATE, &**challenge));
        }
        response.body(serde_json::to_vec(self).expect("a problem has a JSON form"))
    }
}

/// An error whose answer is changed on its way out.
struct Changed<F> {
    error: Error,
    change: F,
}

/// `error`, its answer as `change` leaves it. What a middleware refuses becomes an answer only outside
/// of all middlewares; whoever looks at it on the way sees what it was.
pub(crate) fn changed(
    error: Error,
    change: impl Fn(HttpResponse) -> HttpResponse + 'static,
) -> Error {
    Changed { error, change }.into()
}

impl<F> fmt::Debug for Changed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.error, f)
    }
}

impl<F> fmt::Display for Changed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl<F: Fn(HttpResponse) -> HttpResponse> ResponseError for Changed<F> {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        (self.change)(self.error.error_response())
    }
}
