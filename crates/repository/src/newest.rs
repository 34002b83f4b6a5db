//! How new a view is, by the primary keys of the version tables alone.

use std::time::Duration;

use catalog_domain::{Newest, ProductId, RepositoryError, View};
use larder_postgres::{Database, Purpose, Statement};

use crate::errors::translate;
use crate::row::Reader;

/// Times are spans until now by Postgres's own clock: no other clock has to agree with it.
const SQL: &str = "
SELECT e.epoch, coalesce(v.version, 0) AS version,
       (extract(epoch FROM clock_timestamp() - coalesce(v.changed_at, e.changed_at)) * 1000000)::bigint
           AS changed,
       (extract(epoch FROM clock_timestamp() - e.changed_at) * 1000000)::bigint AS epoch_changed
FROM larder.epochs e
LEFT JOIN larder.versions v ON v.namespace = e.namespace AND v.key = $2
WHERE e.namespace = $1";

pub(crate) async fn newest(
    db: &Database,
    view: View,
    id: ProductId,
) -> Result<Option<Newest>, RepositoryError> {
    let statement = Statement {
        namespace: view.namespace(),
        purpose: Purpose::Admin,
        operation: "SELECT",
        collection: "larder.versions",
    };
    let row = sqlx::query(SQL)
        .bind(view.namespace())
        .bind(id.to_string())
        .fetch_optional(db.counted(statement))
        .await
        .map_err(translate)?;
    let Some(row) = row else { return Ok(None) };
    let row = Reader::new(&row, "larder.versions", id);
    // A clock that was set back may have left a change in the future.
    let span = |column| Ok(Duration::from_micros(row.get::<i64>(column)?.try_into().unwrap_or(0)));
    Ok(Some(Newest {
        revision: row.revision()?,
        changed: span("changed")?,
        epoch_changed: span("epoch_changed")?,
    }))
}
