//! The cheap read beside the page: one row by its primary key.

use catalog_domain::{Currency, Price, ProductId, ProductSummary, RepositoryError, Revised, View};
use larder_postgres::{Database, Statement};

use crate::errors::translate;
use crate::row::Reader;
use crate::statements::{load, pending};

const STATEMENT: Statement = load(View::ProductSummary, "products");

/// One row, also for a product that is not there: its version is known all the same.
const SQL: &str = concat!(
    "
SELECT p.id, p.sku, p.name, p.price_minor, p.currency,
       (extract(epoch FROM p.updated_at) * 1000000)::bigint AS updated_at,
       coalesce(v.version, 0) AS version,
       coalesce((SELECT e.epoch FROM larder.epochs e WHERE e.namespace = 'product-summary'), 0)
           AS epoch,
       ",
    pending!("p"),
    " AS pending
FROM (VALUES ($1::bigint)) AS asked (id)
LEFT JOIN products p ON p.id = asked.id
LEFT JOIN larder.versions v ON v.namespace = 'product-summary' AND v.key = asked.id::text"
);

pub(crate) async fn summary(
    db: &Database,
    id: ProductId,
) -> Result<Revised<Option<ProductSummary>>, RepositoryError> {
    let row = sqlx::query(SQL)
        .bind(id.get())
        .fetch_one(db.counted(STATEMENT))
        .await
        .map_err(translate)?;
    let row = Reader::new(&row, "products", id);
    let value = if row.is_there()? { Some(read(&row)?) } else { None };
    Ok(Revised { revision: row.revision()?, value })
}

/// The columns of a summary.
pub(crate) fn read(row: &Reader<'_>) -> Result<ProductSummary, RepositoryError> {
    let mut summary = ProductSummary {
        id: row.checked::<i64, _>("id")?,
        sku: row.checked::<String, _>("sku")?,
        name: row.checked::<String, _>("name")?,
        price: price(row)?,
        updated_at: row.time("updated_at")?,
    };
    summary.overlay(&row.pending()?);
    Ok(summary)
}

/// The columns of a price.
pub(crate) fn price(row: &Reader<'_>) -> Result<Price, RepositoryError> {
    let currency: Currency = row.checked::<String, _>("currency")?;
    Price::new(row.get("price_minor")?, currency)
        .map_err(|problem| row.corrupt("price_minor", problem))
}
