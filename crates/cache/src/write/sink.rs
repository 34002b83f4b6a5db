//! What a journal that is not the database's own needs of whoever knows the database.

use std::collections::HashMap;
use std::fmt::Debug;
use std::future::Future;

use super::journal::JournalError;
use crate::version::Version;

/// A write that was acknowledged before the database had it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deferred<E> {
    /// Its own in all processes, below 2^63: what was applied is known by it.
    pub id: u64,
    /// The key that it changes.
    pub key: String,
    /// What is to be done, as it was accepted.
    pub entry: E,
}

/// What the database says of a key, and which cached value says the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base<B> {
    /// What is there.
    pub value: B,
    /// The namespace …
    pub namespace: String,
    /// … and key of a cached value that shows all of it, …
    pub key: String,
    /// … and the version of that, read in the same snapshot.
    pub version: Version,
}

/// The versions that the application of writes has made, by namespace and key.
pub type Made = HashMap<(String, String), Version>;

/// What became of deferred writes. Those that are not named wait on: somebody else works on their
/// keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Those that are applied now.
    pub applied: Vec<u64>,
    /// Those that had been applied before: an earlier answer was lost.
    pub repeated: Vec<u64>,
    /// Those that cannot be applied, at most one of each key, and why. What comes after it in its
    /// key waits.
    pub refused: Vec<(u64, String)>,
    /// Changes that were made: several writes of one key are one.
    pub changes: u64,
    /// What `applied` made newer. Who reads one of these keys at its version, or a newer one, sees
    /// all of them applied.
    pub made: Made,
}

/// The database as a journal sees it that keeps writes elsewhere.
///
/// The implementor guarantees that `settle` applies each write once, whatever crashes and however
/// often it is asked: it records their ids in the transaction that applies them, and keeps these for
/// as long as a write may come again.
pub trait Sink: Send + Sync + 'static {
    /// What can be done to a key.
    type Operation: Clone + Send + Sync + 'static;
    /// The same as it waits, such as with the moment at which it was accepted.
    type Entry: Clone + Debug + Send + Sync + 'static;
    /// Why a write is refused at once.
    type Refusal: Send + 'static;
    /// What is there of a key.
    type State: Send + 'static;

    /// What is there of each of `keys`, in their order.
    fn bases(
        &self,
        keys: &[String],
    ) -> impl Future<Output = Result<Vec<Base<Self::State>>, JournalError>> + Send;

    /// Lays what waits over what is there; what cannot be applied changes nothing.
    fn lay(state: &mut Self::State, waiting: &[Self::Entry]);

    /// Does `operation` to what is there and waits.
    ///
    /// # Errors
    ///
    /// Where that would break a rule; nothing has changed then.
    fn accept(
        state: &mut Self::State,
        operation: &Self::Operation,
    ) -> Result<Self::Entry, Self::Refusal>;

    /// Applies `writes`, those of one key in their order, in one transaction.
    fn settle(
        &self,
        writes: &[Deferred<Self::Entry>],
    ) -> impl Future<Output = Result<Settled, JournalError>> + Send;

    /// Which of `ids` have been applied by now, each with the version that this has given to the
    /// cached value of `key` in `namespace`; `None`: it has not touched that one.
    fn applied(
        &self,
        ids: &[u64],
        namespace: &str,
        key: &str,
    ) -> impl Future<Output = Result<HashMap<u64, Option<Version>>, JournalError>> + Send;

    /// The entry, for people to read.
    fn spell(entry: &Self::Entry) -> String;
}
