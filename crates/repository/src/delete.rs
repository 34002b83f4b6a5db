//! A product gone, with all that belongs to it.

use catalog_domain::{ProductId, RepositoryError, Revision, Written};
use larder_postgres::{Database, Statement};

use crate::errors::translate;
use crate::journal::{Locked, Touch, lock};
use crate::statements::write;
use crate::write::commit;

const DELETE: Statement = write("DELETE", "products");

pub(crate) async fn delete(
    db: &Database,
    id: ProductId,
    expected: Option<Revision>,
) -> Result<Option<Written<()>>, RepositoryError> {
    let mut transaction = db.begin().await.map_err(translate)?;
    match lock(&mut transaction, id, Touch::Gone, expected).await? {
        Locked::Absent => return Ok(None),
        Locked::There => {}
    }
    // What belongs to it goes by cascade, and its triggers bump the pages that showed it.
    let deleted = sqlx::query("DELETE FROM products WHERE id = $1 RETURNING id")
        .bind(id.get())
        .fetch_optional(transaction.counted(DELETE))
        .await
        .map_err(translate)?;
    if deleted.is_none() {
        return Ok(None);
    }
    commit(transaction, id, ()).await.map(Some)
}
