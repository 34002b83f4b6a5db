//! A new product.

use catalog_domain::{NewProduct, ProductId, RepositoryError, Written};
use larder_postgres::{Database, Statement};
use sqlx::types::Json;

use crate::errors::translate;
use crate::statements::write;
use crate::write::{commit, insert_related, insert_variants, unknown_category};

const INSERT: Statement = write("INSERT", "products");

const SQL: &str = "
INSERT INTO products (sku, name, description, category_id, price_minor, currency, attributes)
SELECT $1, $2, $3, c.id, $5, $6, $7 FROM categories c WHERE c.slug = $4
RETURNING id";

pub(crate) async fn create(
    db: &Database,
    product: &NewProduct,
) -> Result<Written<ProductId>, RepositoryError> {
    let content = &product.content;
    let mut transaction = db.begin().await.map_err(translate)?;
    let inserted: Option<i64> = sqlx::query_scalar(SQL)
        .bind(product.sku.as_str())
        .bind(content.name.as_str())
        .bind(content.description.as_str())
        .bind(content.category.as_str())
        .bind(content.price.minor())
        .bind(content.price.currency().as_str())
        .bind(Json(&content.attributes))
        .fetch_optional(transaction.counted(INSERT))
        .await
        .map_err(translate)?;
    let inserted = inserted.ok_or_else(unknown_category)?;
    let id = ProductId::try_from(inserted).expect("the identity column counts from 1");
    insert_variants(&mut transaction, id, &content.variants).await?;
    insert_related(&mut transaction, id, &content.related).await?;
    commit(transaction, id, id).await
}
