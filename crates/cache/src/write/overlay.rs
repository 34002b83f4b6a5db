//! Writes that wait outside of the database, beside the cached values that do not show them.
//!
//! A cached value holds what the database says; what waits is laid over it when it is shown. Whether a
//! value shows a write already is decided by versions: applying a write makes newer every value that
//! shows it, so a value of that version or a newer one has it, and an older one has not. Where it is
//! not known whether a write was applied (its flush is under way, or another process may do it) the
//! database is asked after the value was read: if it says no, the value cannot have it either.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use super::journal::JournalError;
use super::sink::{Made, Sink};
use crate::tier::Position;
use crate::version::Version;

/// How long a write is kept that was applied: values that were read before may still be shown.
/// Longer than a load may take, and than a change takes to be heard of.
const KEPT: Duration = Duration::from_secs(10);

/// How long a reader waits for the database's answer …
const PATIENCE: Duration = Duration::from_millis(250);
/// … and how long after it was in vain none is asked: readers of what is cached do not wait for a database
/// that is gone.
const SILENCE: Duration = Duration::from_secs(1);

/// Which of some writes are applied, and the version that it gave to one cached value.
type Fates = Result<HashMap<u64, Option<Version>>, JournalError>;
/// Asks the database.
type Ask = Box<dyn Fn(Vec<u64>, String, String) -> BoxFuture<'static, Fates> + Send + Sync>;

/// What waits, by key.
pub struct Overlay<E> {
    known: Mutex<Known<E>>,
    /// How many writes `known` has: most reads look no further.
    count: AtomicUsize,
    ask: Ask,
}

struct Known<E> {
    keys: HashMap<String, Vec<Laid<E>>>,
    /// Those that were applied, and when, the oldest first.
    applied: VecDeque<(Instant, String, u64)>,
    /// The database is not asked before.
    silent_until: Option<Instant>,
}

struct Laid<E> {
    id: u64,
    /// Where it is in an order that several processes share; the end, while that is not known.
    place: Position,
    /// Whether readers see it: it is acknowledged, or somebody else may see it.
    is_shown: bool,
    entry: E,
    fate: Fate,
    /// What the database has said of single values: of a value of this version or an older one the
    /// write is no part, or it is part of any from this version on.
    views: HashMap<(String, String), Answer>,
}

/// What is known of all values.
#[derive(Clone, Debug)]
enum Fate {
    /// It waits in this process, and nobody else can apply it.
    Waiting,
    /// It may have been applied, or may be at any time.
    Unsure,
    /// It was applied, and made these newer.
    Applied(Arc<Made>),
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    NotUpTo(Version),
    From(Version),
    Untouched,
}

impl<E> std::fmt::Debug for Overlay<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = self.count.load(Ordering::Relaxed);
        f.debug_struct("Overlay").field("count", &count).finish_non_exhaustive()
    }
}

impl<E: Clone> Overlay<E> {
    /// An empty one, over what goes into `sink`.
    pub(super) fn new<S: Sink<Entry = E>>(sink: &Arc<S>) -> Self {
        let sink = Arc::clone(sink);
        let ask: Ask = Box::new(move |ids, namespace, key| {
            let sink = Arc::clone(&sink);
            Box::pin(async move { sink.applied(&ids, &namespace, &key).await })
        });
        let known = Known { keys: HashMap::new(), applied: VecDeque::new(), silent_until: None };
        Self { known: Mutex::new(known), count: AtomicUsize::new(0), ask }
    }

    fn known(&self) -> MutexGuard<'_, Known<E>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waits at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Whether something waits for `key`, or did until just now.
    #[must_use]
    pub fn holds(&self, key: &str) -> bool {
        !self.is_empty() && self.known().keys.contains_key(key)
    }

    /// All that waits, by key and in its order, whatever was read.
    #[must_use]
    pub fn all_waiting(&self) -> HashMap<String, Vec<E>> {
        let known = self.known();
        let of_key = |(key, laid): (&String, &Vec<Laid<E>>)| {
            let waiting =
                laid.iter().filter(|laid| laid.is_shown && !matches!(laid.fate, Fate::Applied(_)));
            (key.clone(), waiting.map(|laid| laid.entry.clone()).collect())
        };
        known.keys.iter().map(of_key).collect()
    }

    /// What of the writes of `key` is to be laid over the value of `cached` in `namespace` that was
    /// read, before this is called, at `version`; in the order of the writes.
    ///
    /// Where the database has to be asked, and does not answer, it is taken not to have them.
    pub async fn over(&self, key: &str, namespace: &str, cached: &str, version: Version) -> Vec<E> {
        let view = (namespace.to_owned(), cached.to_owned());
        let unknown: Vec<u64> = {
            let known = self.known();
            let Some(laid) = known.keys.get(key) else { return Vec::new() };
            let is_silent = known.silent_until.is_some_and(|until| Instant::now() < until);
            let unknown =
                laid.iter().filter(|laid| laid.is_shown && laid.is_in(&view, version).is_none());
            unknown.filter(|_| !is_silent).map(|laid| laid.id).collect()
        };
        if !unknown.is_empty() {
            let asked = (self.ask)(unknown.clone(), view.0.clone(), view.1.clone());
            match timeout(PATIENCE, asked).await {
                Ok(Ok(fates)) => self.learn(key, &view, version, &unknown, &fates),
                failed => {
                    tracing::debug!(?failed, "what was applied is not known");
                    self.known().silent_until = Some(Instant::now() + SILENCE);
                }
            }
        }
        let known = self.known();
        let laid = known.keys.get(key).into_iter().flatten();
        let over = laid.filter(|laid| laid.is_shown && laid.is_in(&view, version) != Some(true));
        over.map(|laid| laid.entry.clone()).collect()
    }

    fn learn(
        &self,
        key: &str,
        view: &(String, String),
        version: Version,
        asked: &[u64],
        fates: &HashMap<u64, Option<Version>>,
    ) {
        let mut known = self.known();
        for laid in known.keys.get_mut(key).into_iter().flatten() {
            if !asked.contains(&laid.id) {
                continue;
            }
            let answer = match fates.get(&laid.id) {
                None => Answer::NotUpTo(version),
                Some(Some(from)) => Answer::From(*from),
                Some(None) => Answer::Untouched,
            };
            laid.views.insert(view.clone(), answer);
        }
    }

    /// Lays a write over its key. What was laid stays.
    pub(super) fn add(&self, key: &str, id: u64, entry: E) {
        let mut known = self.known();
        let laid = known.keys.entry(key.to_owned()).or_default();
        laid.push(Laid::new(id, entry, Fate::Waiting, true));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// Keeps a write of `key` that is not acknowledged yet: what is granted after it counts on it, and
    /// readers do not see it. Anybody may apply it.
    pub(super) fn grant(&self, key: &str, id: u64, entry: E) {
        let mut known = self.known();
        let laid = known.keys.entry(key.to_owned()).or_default();
        laid.push(Laid::new(id, entry, Fate::Unsure, false));
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    /// The write waits at `place` of an order that several processes share: it is shown there. Anybody
    /// may apply it. One that is laid already keeps what is known of it.
    pub(super) fn place(&self, key: &str, id: u64, entry: &E, place: Position) {
        let mut known = self.known();
        let of_key = known.keys.entry(key.to_owned()).or_default();
        let index = of_key.iter().position(|laid| laid.id == id).unwrap_or_else(|| {
            of_key.push(Laid::new(id, entry.clone(), Fate::Unsure, true));
            self.count.fetch_add(1, Ordering::AcqRel);
            of_key.len() - 1
        });
        (of_key[index].place, of_key[index].is_shown) = (place, true);
        of_key.sort_by_key(|laid| laid.place);
    }

    /// The write was not acknowledged. It is gone, unless others may have seen it.
    pub(super) fn withdraw(&self, key: &str, id: u64) {
        let mut known = self.known();
        let is_hidden = |laid: &Laid<E>| laid.id == id && !laid.is_shown;
        if known.keys.get(key).is_some_and(|laid| laid.iter().any(is_hidden)) {
            let gone = known.remove(key, id);
            self.count.fetch_sub(gone, Ordering::AcqRel);
        }
    }

    /// The writes of `keys` of which it is not known whether they are applied.
    pub(super) fn unsure_of(&self, keys: &[String]) -> HashMap<u64, String> {
        let known = self.known();
        let of_key = |key| known.keys.get(key).into_iter().flatten().map(move |laid| (key, laid));
        let laid = keys.iter().flat_map(of_key);
        let unsure = laid.filter(|(_, laid)| matches!(laid.fate, Fate::Unsure));
        unsure.map(|(key, laid)| (laid.id, key.clone())).collect()
    }

    /// What of `key`, granted or shown, a value of the database lacks that was read at `version`, before
    /// it was asked which of what was unsure is applied, and that was noted.
    pub(super) fn lacking(
        &self,
        key: &str,
        namespace: &str,
        cached: &str,
        version: Version,
    ) -> Vec<E> {
        let view = (namespace.to_owned(), cached.to_owned());
        let known = self.known();
        let laid = known.keys.get(key).into_iter().flatten();
        let lacking = laid.filter(|laid| match laid.fate {
            Fate::Unsure => true,
            Fate::Waiting | Fate::Applied(_) => laid.is_in(&view, version) != Some(true),
        });
        lacking.map(|laid| laid.entry.clone()).collect()
    }

    /// The write of `key` is known to have made `made` newer; it may still wait to be taken off.
    pub(super) fn made(&self, key: &str, id: u64, made: &Arc<Made>) {
        self.change(key, id, |laid| laid.fate = Fate::Applied(Arc::clone(made)));
    }

    /// From now on `ids` of `key` may be applied at any time.
    pub(super) fn unsure(&self, key: &str, id: u64) {
        self.change(key, id, |laid| laid.fate = Fate::Unsure);
    }

    /// The write was applied, and `made` this newer; without, it is not known what.
    pub(super) fn applied(&self, key: &str, id: u64, made: Option<&Arc<Made>>) {
        if let Some(made) = made {
            self.change(key, id, |laid| laid.fate = Fate::Applied(Arc::clone(made)));
        }
        self.known().applied.push_back((Instant::now(), key.to_owned(), id));
    }

    /// The write is shown no more.
    pub(super) fn remove(&self, key: &str, id: u64) {
        let mut known = self.known();
        let gone = known.remove(key, id);
        self.count.fetch_sub(gone, Ordering::AcqRel);
    }

    /// Forgets what was applied long ago.
    pub(super) fn sweep(&self) {
        let mut known = self.known();
        let mut gone = 0;
        while known.applied.front().is_some_and(|(at, ..)| at.elapsed() >= KEPT) {
            if let Some((_, key, id)) = known.applied.pop_front() {
                gone += known.remove(&key, id);
            }
        }
        self.count.fetch_sub(gone, Ordering::AcqRel);
    }

    /// The same, once nobody can need what was applied until now.
    pub(super) fn sweep_later(self: &Arc<Self>)
    where
        E: Send + 'static,
    {
        let overlay = Arc::downgrade(self);
        tokio::spawn(async move {
            sleep(KEPT).await;
            if let Some(overlay) = overlay.upgrade() {
                overlay.sweep();
            }
        });
    }

    fn change(&self, key: &str, id: u64, change: impl FnOnce(&mut Laid<E>)) {
        let mut known = self.known();
        let laid = known.keys.get_mut(key).into_iter().flatten();
        if let Some(laid) = laid.into_iter().find(|laid| laid.id == id) {
            change(laid);
        }
    }
}

impl<E> Known<E> {
    fn remove(&mut self, key: &str, id: u64) -> usize {
        let Some(laid) = self.keys.get_mut(key) else { return 0 };
        let before = laid.len();
        laid.retain(|laid| laid.id != id);
        let gone = before - laid.len();
        if laid.is_empty() {
            self.keys.remove(key);
        }
        gone
    }
}

impl<E> Laid<E> {
    fn new(id: u64, entry: E, fate: Fate, is_shown: bool) -> Self {
        let place = Position { millis: u64::MAX, sequence: u64::MAX };
        Self { id, place, is_shown, entry, fate, views: HashMap::new() }
    }

    /// Whether a value read at `version` shows the write; `None`: the database is to be asked.
    fn is_in(&self, view: &(String, String), version: Version) -> Option<bool> {
        match &self.fate {
            Fate::Waiting => Some(false),
            // What is not named was linked to the written key since, and shows it; or it never does.
            Fate::Applied(made) => Some(made.get(view).is_none_or(|from| version >= *from)),
            Fate::Unsure => match self.views.get(view)? {
                Answer::NotUpTo(seen) => (version <= *seen).then_some(false),
                Answer::From(from) => Some(version >= *from),
                Answer::Untouched => Some(true),
            },
        }
    }
}
