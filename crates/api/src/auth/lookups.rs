//! Looks keys up: one that several ask for at the same time, once for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use catalog_domain::RepositoryError;
use catalog_repository::{ApiKeys, StoredKey};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use tokio::time::Instant;

/// What a lookup found: the key, unless it is not there or was revoked, or why that is not known.
pub(super) type Outcome = Result<Found, Arc<RepositoryError>>;

type Lookup = BoxFuture<'static, Outcome>;

/// What is stored of a key.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) key: Option<StoredKey>,
    /// When it began to be looked up: a revocation that came later is found the next time.
    pub(super) since: Instant,
}

/// The lookups that are under way, by the ids of keys. No key waits for another one's.
#[derive(Default)]
pub(super) struct Lookups {
    under_way: Mutex<HashMap<String, WeakShared<Lookup>>>,
}

impl Lookups {
    /// Looks the key `id` up, or waits for who does: whoever waits has the same answer, a failure as well.
    pub(super) async fn find(&self, keys: &ApiKeys, id: &str) -> Outcome {
        let lookup = self.join(keys, id);
        lookup.await
    }

    /// Whoever asks from now on does not wait for a lookup that began before.
    pub(super) fn forget(&self, id: &str) {
        self.under_way().remove(id);
    }

    fn join(&self, keys: &ApiKeys, id: &str) -> Shared<Lookup> {
        let mut under_way = self.under_way();
        let found = under_way.get(id).and_then(WeakShared::upgrade);
        if let Some(lookup) = found.filter(|lookup| lookup.peek().is_none()) {
            return lookup;
        }
        // Nobody waits for the others any more.
        under_way.retain(|_, lookup| lookup.upgrade().is_some());
        let (keys, id) = (keys.clone(), id.to_owned());
        let of = id.clone();
        let lookup = async move {
            let since = Instant::now();
            let key = keys.find(&of).await.map_err(Arc::new)?;
            Ok(Found { key, since })
        };
        let lookup = lookup.boxed().shared();
        if let Some(weak) = lookup.downgrade() {
            under_way.insert(id, weak);
        }
        lookup
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<String, WeakShared<Lookup>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
