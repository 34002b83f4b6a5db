//! Where values come from.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;

use crate::lookup::Loaded;

/// A load under way.
pub type Load<T> = Pin<Box<dyn Future<Output = Result<T, Box<dyn Error + Send + Sync>>> + Send>>;

/// The origin of a namespace, registered once: read-through.
///
/// The implementor guarantees that value and version are of one snapshot. A closure that takes
/// a key and returns a future of a `Result<Loaded<V>, E>` is a source.
pub trait Source<K, V>: Send + Sync + 'static {
    /// Loads one key.
    fn load(&self, key: K) -> Load<Loaded<V>>;

    /// Loads several keys at once, in any order; a key that is left out is an error of the
    /// source. A closure loads them one after the other: a source that can ask for several in
    /// one statement should.
    fn load_many(&self, keys: Vec<K>) -> Load<Vec<(K, Loaded<V>)>>;
}

impl<K, V, S, F, E> Source<K, V> for S
where
    K: Clone + Send + 'static,
    V: Send + 'static,
    S: Fn(K) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Loaded<V>, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    fn load(&self, key: K) -> Load<Loaded<V>> {
        let load = self(key);
        Box::pin(async { load.await.map_err(Into::into) })
    }

    fn load_many(&self, keys: Vec<K>) -> Load<Vec<(K, Loaded<V>)>> {
        let source = self.clone();
        Box::pin(async move {
            let mut all = Vec::with_capacity(keys.len());
            for key in keys {
                let loaded = source(key.clone()).await.map_err(Into::into)?;
                all.push((key, loaded));
            }
            Ok(all)
        })
    }
}
