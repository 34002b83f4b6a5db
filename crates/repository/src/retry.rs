//! A write that Postgres gave up for another one's sake is made again.

use catalog_domain::RepositoryError;
use larder_postgres::gave_way;

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
            Err(error) if tries < TRIES && passes(&error) => tries += 1,
            outcome => return outcome,
        }
    }
}

fn passes(error: &RepositoryError) -> bool {
    let RepositoryError::Unavailable(source) = error else { return false };
    source.downcast_ref().is_some_and(gave_way)
}
