//! A new review.

use catalog_domain::{NewReview, ProductId, RepositoryError, ReviewId, Written};
use larder_postgres::{Database, Statement};

use crate::errors::translate;
use crate::journal::{Locked, Touch, lock};
use crate::statements::write;
use crate::write::commit;

const INSERT: Statement = write("INSERT", "reviews");

const SQL: &str = "
INSERT INTO reviews (product_id, rating, title, body, author)
SELECT p.id, $2, $3, $4, $5 FROM products p WHERE p.id = $1
RETURNING id";

pub(crate) async fn add_review(
    db: &Database,
    id: ProductId,
    review: &NewReview,
) -> Result<Option<Written<ReviewId>>, RepositoryError> {
    let mut transaction = db.begin().await.map_err(translate)?;
    match lock(&mut transaction, id, Touch::All, None).await? {
        Locked::Absent => return Ok(None),
        Locked::There => {}
    }
    let inserted: Option<i64> = sqlx::query_scalar(SQL)
        .bind(id.get())
        .bind(review.rating.get())
        .bind(review.title.as_str())
        .bind(review.body.as_str())
        .bind(review.author.as_str())
        .fetch_optional(transaction.counted(INSERT))
        .await
        .map_err(translate)?;
    let Some(inserted) = inserted else { return Ok(None) };
    let review = ReviewId::try_from(inserted).expect("the identity column counts from 1");
    commit(transaction, id, review).await.map(Some)
}
