//! A write that Postgres gave up for another one's sake is made again.

use catalog_domain::RepositoryError;

/// How often a write is made, at most.
const TRIES: u32 = 4;

/// Makes `write` again when Postgres has rolled it back to end a deadlock or a conflict of
/// snapshots: nothing of it was done, and the other transaction goes on.
///
/// A page's version is bumped by whoever changes what it shows, so two writes of different products
/// may wait for each other.
pub(crate) async fn again<T, F>(write: impl Fn() -> F) -> Result<T, RepositoryError>
where
    F: Future<Output = Result<T, RepositoryError>>,
{
    let mut tries = 1;
    loop {
        match write().await {
            Err(error) if tries < TRIES && gave_way(&error) => tries += 1,
            outcome => return outcome,
        }
    }
}

fn gave_way(error: &RepositoryError) -> bool {
    let RepositoryError::Unavailable(source) = error else { return false };
    let refusal = source.downcast_ref::<sqlx::Error>().and_then(sqlx::Error::as_database_error);
    let code = refusal.and_then(|refusal| refusal.code());
    matches!(code.as_deref(), Some("40001" | "40P01"))
}
