//! Reading rows: stored data that breaks the domain's rules is reported by its place.

use std::fmt::Display;

use catalog_domain::{Pending, RepositoryError, Revision};
use jiff::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{Decode, Postgres, Row, Type};

use crate::errors::translate;
use crate::journal::PendingRow;

/// A row and what it is called in a report.
pub(crate) struct Reader<'r> {
    pub(crate) row: &'r PgRow,
    pub(crate) table: &'static str,
    pub(crate) key: String,
}

impl<'r> Reader<'r> {
    pub(crate) fn new(row: &'r PgRow, table: &'static str, key: impl Display) -> Self {
        Self { row, table, key: key.to_string() }
    }

    /// A column as it is.
    pub(crate) fn get<T>(&self, column: &'static str) -> Result<T, RepositoryError>
    where
        T: Decode<'r, Postgres> + Type<Postgres>,
    {
        self.row.try_get(column).map_err(|error| match error {
            sqlx::Error::ColumnDecode { .. } => self.corrupt(column, error.to_string()),
            other => translate(other),
        })
    }

    /// A column that must satisfy the domain.
    pub(crate) fn checked<S, T>(&self, column: &'static str) -> Result<T, RepositoryError>
    where
        S: Decode<'r, Postgres> + Type<Postgres>,
        T: TryFrom<S>,
        T::Error: Display,
    {
        T::try_from(self.get::<S>(column)?)
            .map_err(|problem| self.corrupt(column, problem.to_string()))
    }

    /// A timestamp, stored as whole microseconds since 1970.
    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, RepositoryError> {
        Timestamp::from_microsecond(self.get(column)?)
            .map_err(|problem| self.corrupt(column, problem.to_string()))
    }

    /// Whether there is such a product: an outer join leaves its `id` empty if not.
    pub(crate) fn is_there(&self) -> Result<bool, RepositoryError> {
        Ok(self.get::<Option<i64>>("id")?.is_some())
    }

    /// The columns `epoch` and `version`.
    pub(crate) fn revision(&self) -> Result<Revision, RepositoryError> {
        let (epoch, counter): (i32, i64) = (self.get("epoch")?, self.get("version")?);
        // CHECKed to be positive, or 0 where there is none.
        Ok(Revision { epoch: epoch.unsigned_abs(), counter: counter.unsigned_abs() })
    }

    /// The column `pending`: what waits in the journal for the row's product.
    pub(crate) fn pending(&self) -> Result<Vec<Pending>, RepositoryError> {
        let Some(Json(rows)) = self.get::<Option<Json<Vec<PendingRow>>>>("pending")? else {
            return Ok(Vec::new());
        };
        let corrupt = |problem| RepositoryError::Corrupt {
            table: "larder.journal",
            column: "operation",
            row: self.key.clone(),
            problem,
        };
        rows.into_iter().map(|row| row.checked().map_err(corrupt)).collect()
    }

    pub(crate) fn corrupt(&self, column: &'static str, problem: String) -> RepositoryError {
        RepositoryError::Corrupt { table: self.table, column, row: self.key.clone(), problem }
    }
}
