//! What all writes share: the transaction's end, and the parts of a product.

use catalog_domain::{
    Change, NewVariant, ProductId, RepositoryError, Revision, ValidationError, View, Written,
};
use larder_postgres::{Statement, Transaction, changes};

use crate::errors::translate;
use crate::statements::write;

const VARIANTS: Statement = write("INSERT", "variants");
const RELATED: Statement = write("INSERT", "related_products");

/// Asks what the transaction changed, commits it, and returns both.
pub(crate) async fn commit<T>(
    mut transaction: Transaction<'_>,
    id: ProductId,
    value: T,
) -> Result<Written<T>, RepositoryError> {
    let found = changes(&mut transaction).await.map_err(translate)?;
    transaction.commit().await.map_err(translate)?;
    let changes: Vec<Change> = found
        .into_iter()
        .filter_map(|change| {
            // Namespaces that are of no product, and keys that are no ids, are not ours.
            let view = View::of_namespace(&change.namespace)?;
            let id = change.key.parse().ok()?;
            let (epoch, counter) = (change.version.epoch, change.version.counter);
            Some(Change { view, id, revision: Revision { epoch, counter } })
        })
        .collect();
    let own = changes.iter().find(|c| c.view == View::ProductPage && c.id == id);
    let revision = own.map_or(Revision::default(), |change| change.revision);
    Ok(Written { value, revision, changes })
}

/// The error for a category that is not there.
pub(crate) fn unknown_category() -> RepositoryError {
    RepositoryError::Invalid(ValidationError::new("category", "there is no such category"))
}

pub(crate) async fn insert_variants(
    transaction: &mut Transaction<'_>,
    id: ProductId,
    variants: &[NewVariant],
) -> Result<(), RepositoryError> {
    if variants.is_empty() {
        return Ok(());
    }
    let skus: Vec<&str> = variants.iter().map(|v| v.sku.as_str()).collect();
    let names: Vec<&str> = variants.iter().map(|v| v.name.as_str()).collect();
    let stocks: Vec<i32> = variants.iter().map(|v| v.stock.get()).collect();
    sqlx::query(
        "INSERT INTO variants (product_id, sku, name, stock)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::int[])",
    )
    .bind(id.get())
    .bind(skus)
    .bind(names)
    .bind(stocks)
    .execute(transaction.counted(VARIANTS))
    .await
    .map(drop)
    .map_err(translate)
}

pub(crate) async fn insert_related(
    transaction: &mut Transaction<'_>,
    id: ProductId,
    related: &[ProductId],
) -> Result<(), RepositoryError> {
    if related.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = related.iter().map(|related| related.get()).collect();
    sqlx::query(
        "INSERT INTO related_products (product_id, position, related_id)
         SELECT $1, position, related FROM unnest($2::bigint[]) WITH ORDINALITY AS u (related, position)",
    )
    .bind(id.get())
    .bind(ids)
    .execute(transaction.counted(RELATED))
    .await
    .map(drop)
    .map_err(translate)
}
