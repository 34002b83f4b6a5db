//! The one place where an error of Postgres becomes one of the port.

use catalog_domain::{RepositoryError, ValidationError};
use sqlx::postgres::PgDatabaseError;

/// What an error of the driver means to the catalogue.
#[must_use]
pub fn translate(error: sqlx::Error) -> RepositoryError {
    let Some(refusal) = error.as_database_error() else {
        return match error {
            sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            // A connection cut in the middle of a message.
            | sqlx::Error::Protocol(_) => RepositoryError::Unavailable(Box::new(error)),
            other => RepositoryError::Internal(Box::new(other)),
        };
    };
    let code = refusal.code().unwrap_or_default().into_owned();
    let refusal = refusal.downcast_ref::<PgDatabaseError>();
    let constraint = refusal.constraint().unwrap_or_default();
    let invalid = |field, message| RepositoryError::Invalid(ValidationError::new(field, message));
    match (code.as_str(), constraint) {
        ("23505", "products_sku") => {
            let message = "another product has this SKU";
            RepositoryError::Conflict(ValidationError::new("sku", message))
        }
        ("23503", "related_products_related_id_fkey") => {
            invalid("related", "names a product that does not exist")
        }
        ("23514", "variants_stock") => invalid("stock", "must stay from 0 to 1000000000"),
        // A sum beyond the column's type is beyond the rule, too.
        ("22003", _) => invalid("stock_delta", "is more than a stock can hold"),
        // query_canceled: by statement_timeout.
        ("57014", _) => RepositoryError::Timeout,
        // Serialization failures and deadlocks pass; so do connection failures (08), a server
        // that lets nobody in (28), has no room (53) or stops and starts (57P).
        ("40001" | "40P01", _) => RepositoryError::Unavailable(Box::new(error)),
        (code, _) if ["08", "28", "53", "57P"].iter().any(|class| code.starts_with(class)) => {
            RepositoryError::Unavailable(Box::new(error))
        }
        _ => RepositoryError::Internal(Box::new(error)),
    }
}
