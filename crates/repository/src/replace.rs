//! A product replaced as a whole, but for its id and SKU.

use catalog_domain::{ProductId, ProductReplacement, RepositoryError, Revision, Written};
use larder_postgres::{Database, Statement};
use sqlx::Row;
use sqlx::types::Json;

use crate::errors::translate;
use crate::journal::{Locked, Touch, lock};
use crate::statements::write;
use crate::write::{commit, insert_related, insert_variants, unknown_category};

const LOCK: Statement = write("SELECT", "products");
const UPDATE: Statement = write("UPDATE", "products");
const CLEAR_VARIANTS: Statement = write("DELETE", "variants");
const CLEAR_RELATED: Statement = write("DELETE", "related_products");

/// Tells an unknown product (no row) from an unknown category (a row, not updated).
const SQL: &str = "
WITH updated AS (
    UPDATE products p
    SET name = $2, description = $3, category_id = c.id, price_minor = $5, currency = $6,
        attributes = $7, updated_at = now()
    FROM categories c
    WHERE p.id = $1 AND c.slug = $4
    RETURNING p.id
)
SELECT EXISTS (SELECT FROM updated) AS updated FROM products WHERE id = $1";

pub(crate) async fn replace(
    db: &Database,
    id: ProductId,
    content: &ProductReplacement,
    expected: Option<Revision>,
) -> Result<Option<Written<()>>, RepositoryError> {
    let mut transaction = db.begin().await.map_err(translate)?;
    // Who links to a product locks it. All at once and in order, before anything else is locked:
    // two products that come to show each other do not wait in a circle.
    let linked: Vec<i64> = content.related.iter().chain([&id]).map(|id| id.get()).collect();
    sqlx::query("SELECT FROM products WHERE id = ANY($1) ORDER BY id FOR UPDATE")
        .bind(linked)
        .execute(transaction.counted(LOCK))
        .await
        .map_err(translate)?;
    match lock(&mut transaction, id, Touch::All, expected).await? {
        Locked::Absent => return Ok(None),
        Locked::There => {}
    }
    let found = sqlx::query(SQL)
        .bind(id.get())
        .bind(content.name.as_str())
        .bind(content.description.as_str())
        .bind(content.category.as_str())
        .bind(content.price.minor())
        .bind(content.price.currency().as_str())
        .bind(Json(&content.attributes))
        .fetch_optional(transaction.counted(UPDATE))
        .await
        .map_err(translate)?;
    let Some(row) = found else { return Ok(None) };
    if !row.try_get::<bool, _>("updated").map_err(translate)? {
        return Err(unknown_category());
    }
    for (sql, statement) in [
        ("DELETE FROM variants WHERE product_id = $1", CLEAR_VARIANTS),
        ("DELETE FROM related_products WHERE product_id = $1", CLEAR_RELATED),
    ] {
        sqlx::query(sql)
            .bind(id.get())
            .execute(transaction.counted(statement))
            .await
            .map_err(translate)?;
    }
    insert_variants(&mut transaction, id, &content.variants).await?;
    insert_related(&mut transaction, id, &content.related).await?;
    commit(transaction, id, ()).await.map(Some)
}
