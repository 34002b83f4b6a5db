//! Why the catalogue could not answer.

use std::time::Duration;

use catalog_domain::RepositoryError;
use thiserror::Error;

/// Why the catalogue could not answer. An absent product is not an error.
#[derive(Debug, Error)]
pub enum CatalogueError {
    /// More loads were wanted than Postgres is to be asked at once.
    #[error("too many reads of the database at once")]
    Overloaded {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// The database failed or refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A value has no JSON form: a defect.
    #[error("cannot render: {0}")]
    Render(#[from] serde_json::Error),
    /// A write's task panicked: a defect.
    #[error("a write ended without an answer")]
    Lost,
}

impl From<larder::Overloaded> for CatalogueError {
    fn from(overloaded: larder::Overloaded) -> Self {
        Self::Overloaded { retry_after: overloaded.retry_after }
    }
}
