//! Who may write and administer: `Authorization: Bearer lk_…`, or the key of the configuration.
//!
//! A key is verified once in a process, with Argon2id, on a thread that may block, few at a time: wrong
//! keys must not keep the service from its work. What was found right is remembered by its SHA-256
//! digest; after `server.key_memory_ms` its row is looked up again, without another verification, so
//! that a revoked key is refused in every process after that time at most.

mod guard;
mod keys;
mod lookups;
mod memory;
mod scope;
mod token;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catalog_domain::RepositoryError;
use catalog_repository::{ApiKeys, StoredKey};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::Instant;

pub(crate) use self::guard::{administration, writes};
pub(crate) use self::keys::{FirstKeyError, create, first, scopes};
pub use self::keys::{KeyError, make_key};
use self::lookups::{Found, Lookups};
use self::memory::{Known, Memory};
pub(crate) use self::scope::Scope;
use self::token::Fingerprint;
pub(crate) use self::token::is_id;

/// Requests that wait for a verification at most.
const WAITING: usize = 64;

/// What a request that shows the configured key is known as.
const CONFIGURED: &str = "configured";

/// Who asks.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    /// The id of the key.
    pub(crate) id: Arc<str>,
    scope: Scope,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// No key was shown.
    Missing,
    /// It is no key, or was revoked.
    Wrong,
    /// Too many keys are being verified.
    Busy,
    /// Keys cannot be looked up.
    Unavailable(Arc<RepositoryError>),
}

/// Knows who asks.
pub(crate) struct Auth {
    configured: Option<Fingerprint>,
    keys: ApiKeys,
    memory: Mutex<Memory>,
    /// Verifications at a time.
    turns: Arc<Semaphore>,
    /// Requests that verify or wait for it.
    places: Semaphore,
    lookups: Lookups,
    /// When and why a new key could last not be looked up.
    failed: Mutex<Option<(Instant, Arc<RepositoryError>)>>,
}

impl Auth {
    /// With the key of the configuration (empty: none) and those in `keys`, which are remembered
    /// for `lasting`.
    pub(crate) fn new(configured: &str, keys: ApiKeys, lasting: Duration) -> Self {
        // Of two cores one at most: there is other work to do.
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            configured: (!configured.is_empty()).then(|| token::fingerprint(configured)),
            keys,
            memory: Mutex::new(Memory::new(lasting)),
            turns: Arc::new(Semaphore::new((cores / 4).max(1))),
            places: Semaphore::new(WAITING),
            lookups: Lookups::default(),
            failed: Mutex::default(),
        }
    }

    pub(crate) const fn keys(&self) -> &ApiKeys {
        &self.keys
    }

    /// Who shows the key `text`.
    pub(crate) async fn identify(&self, text: &str) -> Result<Caller, Refused> {
        let shown = token::fingerprint(text);
        // Digests, compared in a time that does not tell how much of them was right.
        if self.configured.is_some_and(|key| bool::from(key.ct_eq(&shown))) {
            return Ok(Caller { id: CONFIGURED.into(), scope: Scope::Admin });
        }
        let parts = token::parse(text).ok_or(Refused::Wrong)?;
        match self.recall(&shown) {
            Some((known, false)) => Ok(known.into()),
            Some((_, true)) => self.look_again(parts, shown).await,
            None => self.verify(parts, shown).await,
        }
    }

    /// Forgets a key that was revoked here; other processes do when they look it up again.
    pub(crate) fn forget(&self, id: &str) {
        self.lookups.forget(id);
        self.memory().forget(id);
    }

    /// A key whose secret was right: whether it still opens anything.
    async fn look_again(
        &self,
        parts: token::Parts<'_>,
        shown: Fingerprint,
    ) -> Result<Caller, Refused> {
        let found = self.lookups.find(&self.keys, parts.id).await;
        let Found { key, since } = found.map_err(Refused::Unavailable)?;
        if self.recall(&shown).is_none() {
            // It has been revoked meanwhile, or others took its place in the memory.
            return self.verify(parts, shown).await;
        }
        let Some(scope) = key.as_ref().and_then(scope_of) else {
            self.forget(parts.id);
            return Err(Refused::Wrong);
        };
        Ok(self.remember(shown, Known { id: parts.id.to_owned(), scope, since }))
    }

    async fn verify(&self, parts: token::Parts<'_>, shown: Fingerprint) -> Result<Caller, Refused> {
        let _place = self.places.try_acquire().map_err(|_| Refused::Busy)?;
        let came = Instant::now();
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.expect("it is never closed");
        // Somebody else may have shown the same one.
        if let Some((known, false)) = self.recall(&shown) {
            return Ok(known.into());
        }
        // Who waited while a lookup failed does not wait for another one.
        if let Some(error) = self.failed_since(came) {
            return Err(Refused::Unavailable(error));
        }
        // Before it is looked up: a revocation that comes in between is found a while after this.
        let since = Instant::now();
        let stored = self.keys.find(parts.id).await.map_err(|error| self.note(error))?;
        let (secret, hash) = (parts.secret(), stored.as_ref().map(|stored| stored.hash.clone()));
        let right = tokio::task::spawn_blocking(move || {
            // The turn goes with it: who hangs up does not make room for another.
            (token::verify(&secret, hash.as_deref()), turn)
        });
        // Given back when the key is remembered: the next one may have shown the same.
        let (right, _turn) = right.await.map_or((false, None), |(right, turn)| (right, Some(turn)));
        match stored.as_ref().and_then(scope_of).filter(|_| right) {
            Some(scope) => {
                Ok(self.remember(shown, Known { id: parts.id.to_owned(), scope, since }))
            }
            None => Err(Refused::Wrong),
        }
    }

    /// Remembers that a new key could not be looked up, for those who wait for their turn.
    fn note(&self, error: RepositoryError) -> Refused {
        let error = Arc::new(error);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(&error)));
        Refused::Unavailable(error)
    }

    fn failed_since(&self, came: Instant) -> Option<Arc<RepositoryError>> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(at, _)| *at >= came).map(|(_, error)| Arc::clone(error))
    }

    fn recall(&self, shown: &Fingerprint) -> Option<(Known, bool)> {
        self.memory().recall(shown, Instant::now())
    }

    fn remember(&self, shown: Fingerprint, known: Known) -> Caller {
        self.memory().remember(shown, known.clone());
        known.into()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn scope_of(stored: &StoredKey) -> Option<Scope> {
    Scope::widest(&stored.scopes)
}

impl From<Known> for Caller {
    fn from(known: Known) -> Self {
        Self { id: known.id.into(), scope: known.scope }
    }
}
