//! A category's products, page by page, by keyset.

use catalog_domain::{Cursor, ListRequest, Listing, ProductId, RepositoryError};
use larder_postgres::{Database, Purpose, Statement};
use sqlx::Row;

use crate::errors::translate;
use crate::row::Reader;
use crate::statements::pending;
use crate::summary::read;

const STATEMENT: Statement = Statement {
    namespace: "",
    purpose: Purpose::Load,
    operation: "SELECT",
    collection: "products",
};

/// One row at least where the category exists, with no product where it has none.
const SQL: &str = concat!(
    "
WITH RECURSIVE below AS (
    SELECT id FROM categories WHERE slug = $1
    UNION
    SELECT c.id FROM categories c JOIN below b ON c.parent_id = b.id
)
SELECT p.id, p.sku, p.name, p.price_minor, p.currency,
       (extract(epoch FROM p.updated_at) * 1000000)::bigint AS updated_at,
       ",
    pending!("p"),
    " AS pending
FROM (SELECT FROM below LIMIT 1) AS found
LEFT JOIN LATERAL (
    SELECT * FROM products p
    WHERE p.category_id = ANY (SELECT id FROM below) AND p.id > $2
    ORDER BY p.id
    LIMIT $3
) p ON true
ORDER BY p.id"
);

pub(crate) async fn list(
    db: &Database,
    request: &ListRequest,
) -> Result<Option<Listing>, RepositoryError> {
    // One more than asked for tells whether there is a further page.
    let rows = sqlx::query(SQL)
        .bind(request.category.as_str())
        .bind(request.after.map_or(0, |cursor| cursor.last().get()))
        .bind(i64::from(request.limit) + 1)
        .fetch_all(db.counted(STATEMENT))
        .await
        .map_err(translate)?;
    if rows.is_empty() {
        return Ok(None);
    }
    let mut products = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: Option<i64> = row.try_get("id").map_err(translate)?;
        if let Some(id) = id {
            products.push(read(&Reader::new(row, "products", id))?);
        }
    }
    let limit = usize::from(request.limit);
    let more = products.len() > limit;
    products.truncate(limit);
    let last: Option<ProductId> = products.last().map(|product| product.id);
    let next = last.filter(|_| more).map(|last| Cursor::after(last).encode());
    Ok(Some(Listing { products, next }))
}
