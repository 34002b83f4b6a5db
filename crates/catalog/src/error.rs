//! Why the catalogue could not answer.

use std::sync::Arc;
use std::time::Duration;

use catalog_domain::RepositoryError;
use larder::{GetError, JournalError, LoadError};
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
    /// The journal holds as many writes as it may.
    #[error("too many writes wait to be applied")]
    JournalFull {
        /// When it makes sense to try again.
        retry_after: Duration,
    },
    /// The journal did not answer: it may hold the write or not.
    #[error(transparent)]
    Journal(Arc<JournalError>),
    /// The database failed or refused.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// A load that several requests waited for has failed; see
    /// [`repository`](Self::repository).
    #[error(transparent)]
    Load(LoadError),
    /// A load took too long, and was cancelled.
    #[error("a load took longer than {0:?}")]
    Deadline(Duration),
    /// A value has no JSON form: a defect.
    #[error("cannot render: {0}")]
    Render(#[from] serde_json::Error),
    /// A task panicked: a defect.
    #[error("a task ended without an answer")]
    Lost,
}

/// Why a load brought nothing.
#[derive(Debug, Error)]
pub(crate) enum LoadFailure {
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    #[error("cannot render: {0}")]
    Render(#[from] serde_json::Error),
}

impl CatalogueError {
    /// The database's error, if it is one.
    #[must_use]
    pub fn repository(&self) -> Option<&RepositoryError> {
        match self {
            Self::Repository(error) => Some(error),
            Self::Load(error) => match error.downcast_ref()? {
                LoadFailure::Repository(error) => Some(error),
                LoadFailure::Render(_) => None,
            },
            Self::Overloaded { .. }
            | Self::JournalFull { .. }
            | Self::Journal(_)
            | Self::Deadline(_)
            | Self::Render(_)
            | Self::Lost => None,
        }
    }
}

impl From<larder::Overloaded> for CatalogueError {
    fn from(overloaded: larder::Overloaded) -> Self {
        Self::Overloaded { retry_after: overloaded.retry_after }
    }
}

impl From<LoadFailure> for CatalogueError {
    fn from(failure: LoadFailure) -> Self {
        match failure {
            LoadFailure::Repository(error) => error.into(),
            LoadFailure::Render(error) => error.into(),
        }
    }
}

impl From<GetError> for CatalogueError {
    fn from(error: GetError) -> Self {
        match error {
            GetError::Load(error) => Self::Load(error),
            GetError::Overloaded(overloaded) => overloaded.into(),
            GetError::Deadline(limit) => Self::Deadline(limit),
            GetError::Aborted | GetError::NoSource => Self::Lost,
        }
    }
}
