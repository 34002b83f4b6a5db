//! A change of price or stock.

use catalog_domain::{
    Field, Price, ProductId, ProductPatch, RepositoryError, Revision, Sku, ValidationError, Written,
};
use larder_postgres::{Database, Statement, Transaction};

use crate::errors::translate;
use crate::journal::{Locked, Touch, lock};
use crate::statements::write;
use crate::write::commit;

const PRICE: Statement = write("UPDATE", "products");
const STOCK: Statement = write("UPDATE", "variants");

pub(crate) async fn patch(
    db: &Database,
    id: ProductId,
    patch: &ProductPatch,
    expected: Option<Revision>,
) -> Result<Option<Written<()>>, RepositoryError> {
    let mut transaction = db.begin().await.map_err(translate)?;
    // Writers of one product queue up here, so that none waits for another in a circle.
    let touch = if patch.price.is_some() { Touch::All } else { Touch::Stock };
    match lock(&mut transaction, id, touch, expected).await? {
        Locked::Absent => return Ok(None),
        Locked::There => {}
    }
    if let Some(price) = patch.price {
        set_price(&mut transaction, id, price).await?;
    }
    let sets = "UPDATE variants v SET stock = u.stock
                FROM unnest($2::text[], $3::int[]) AS u (sku, stock)
                WHERE v.product_id = $1 AND v.sku = u.sku
                RETURNING v.sku";
    let changes = patch.stock.iter().map(|change| (&change.sku, change.stock.get())).collect();
    set_stock(&mut transaction, id, "stock", sets, changes).await?;
    let adds = "UPDATE variants v SET stock = v.stock + u.delta
                FROM unnest($2::text[], $3::int[]) AS u (sku, delta)
                WHERE v.product_id = $1 AND v.sku = u.sku
                RETURNING v.sku";
    let changes = patch.stock_delta.iter().map(|change| (&change.sku, change.delta)).collect();
    set_stock(&mut transaction, id, "stock_delta", adds, changes).await?;
    commit(transaction, id, ()).await.map(Some)
}

async fn set_price(
    transaction: &mut Transaction<'_>,
    id: ProductId,
    price: Price,
) -> Result<(), RepositoryError> {
    sqlx::query(
        "UPDATE products SET price_minor = $2, currency = $3, updated_at = now() WHERE id = $1",
    )
    .bind(id.get())
    .bind(price.minor())
    .bind(price.currency().as_str())
    .execute(transaction.counted(PRICE))
    .await
    .map(drop)
    .map_err(translate)
}

/// Runs `sql` for all changes at once; every SKU must be a variant of the product.
async fn set_stock(
    transaction: &mut Transaction<'_>,
    id: ProductId,
    list: &str,
    sql: &'static str,
    changes: Vec<(&Sku, i32)>,
) -> Result<(), RepositoryError> {
    if changes.is_empty() {
        return Ok(());
    }
    let (skus, numbers): (Vec<&str>, Vec<i32>) =
        changes.iter().map(|(sku, number)| (sku.as_str(), *number)).unzip();
    let changed: Vec<String> = sqlx::query_scalar(sql)
        .bind(id.get())
        .bind(&skus)
        .bind(numbers)
        .fetch_all(transaction.counted(STOCK))
        .await
        .map_err(|error| match translate(error) {
            // The constraint does not know which list the change was in.
            RepositoryError::Invalid(broken) => {
                RepositoryError::Invalid(ValidationError::new(list, broken.message))
            }
            other => other,
        })?;
    let missing = skus.iter().position(|sku| !changed.iter().any(|changed| changed == sku));
    missing.map_or(Ok(()), |index| {
        let field = Field { list, index }.part("sku");
        Err(RepositoryError::Invalid(ValidationError::new(field, "is no variant of this product")))
    })
}
