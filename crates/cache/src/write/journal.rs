//! The journal of write-behind: what was acknowledged and is not yet applied.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use thiserror::Error;

use super::options::Mode;
use crate::version::Version;

/// A write that is to be journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write<O> {
    /// The key that it changes, in the words of whoever applies it.
    pub key: String,
    /// What is to be done.
    pub operation: O,
}

/// A write that the journal holds: it will be applied, whatever crashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journaled {
    /// Its place in the journal.
    pub position: u64,
    /// The cached keys that it changes, each with the version that readers will see.
    pub changes: Vec<(String, String, Version)>,
}

/// What became of a write that was journaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteState {
    /// It waits to be applied. Readers see it already.
    Pending,
    /// It was applied.
    Flushed,
    /// It could not be applied, and waits for somebody to decide.
    Dead,
}

impl WriteState {
    /// The name used in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Flushed => "flushed",
            Self::Dead => "dead",
        }
    }
}

/// How a flush goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlushOptions {
    /// Entries that one flush takes, at most.
    pub entries: usize,
    /// After so many attempts an entry that cannot be applied becomes a dead letter.
    pub attempts: u32,
    /// How long an entry that could not be applied waits for its next attempt; twice as long
    /// after each.
    pub backoff: Duration,
}

/// What a flush did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Entries that were applied and taken off.
    pub entries: u64,
    /// Changes that were made for them: several entries of one key are one.
    pub applied: u64,
    /// Entries that could not be applied, and will be tried again.
    pub failed: u64,
    /// Entries that became dead letters.
    pub dead: u64,
    /// Cached keys that dead letters changed back, with the version that readers will see.
    pub changes: Vec<(String, String, Version)>,
}

impl Flushed {
    /// Both together.
    pub(super) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.applied += other.applied;
        self.failed += other.failed;
        self.dead += other.dead;
        self.changes.extend(other.changes);
    }
}

/// What a journal holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// Entries that wait to be applied.
    pub depth: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Dead letters.
    pub dead: u64,
}

/// An entry that could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place in the journal.
    pub position: u64,
    /// The key that it was to change.
    pub key: String,
    /// What was to be done, for people to read.
    pub operation: String,
    /// Why that was not possible.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// How long ago it was acknowledged.
    pub age: Duration,
}

/// Why a journal could not answer: nothing was changed, or it is not known whether it was.
#[derive(Debug, Error)]
#[error("the journal: {0}")]
pub struct JournalError(#[from] pub Box<dyn Error + Send + Sync>);

/// Why a dead letter was not put back, as the cause of a [`JournalError`]: what refuses a new write
/// refuses it, too. It stays a dead letter.
#[derive(Debug, Error)]
#[error("the write is refused: {0}")]
pub struct StillRefused(pub String);

/// A journal, and whoever applies what is in it.
///
/// The implementor guarantees that an entry is applied and taken off in one transaction, so that it
/// is applied once, whatever crashes; that the entries of one key are applied in the order of their
/// positions, however many processes flush; that a load of a key sees its pending entries; and that
/// an entry that cannot be applied keeps back its own key alone.
pub trait Journal: Send + Sync + 'static {
    /// What can be done to a key.
    type Operation: Clone + Send + Sync + 'static;
    /// Why a write is refused at once: it would break a rule.
    type Refusal: Send + 'static;

    /// What it promises. A journal that forgets says so.
    const MODE: Mode = Mode::Journaled;

    /// Appends `writes` in their order, in one transaction, each taken or refused on its own.
    /// They are durable when this answers.
    fn append(
        &self,
        writes: &[Write<Self::Operation>],
    ) -> impl Future<Output = Result<Vec<Result<Journaled, Self::Refusal>>, JournalError>> + Send;

    /// Applies and takes off the oldest entries that nobody else is flushing, in one transaction.
    fn flush(
        &self,
        options: &FlushOptions,
    ) -> impl Future<Output = Result<Flushed, JournalError>> + Send;

    /// Applies what waits for `key`, before a write that does not wait; what cannot be applied
    /// becomes a dead letter at once. Nothing is to be done where such a write looks into the
    /// journal itself, in its own transaction.
    fn settle(&self, key: &str) -> impl Future<Output = Result<Flushed, JournalError>> + Send {
        let _ = key;
        async { Ok(Flushed::default()) }
    }

    /// What it holds.
    fn state(&self) -> impl Future<Output = Result<JournalState, JournalError>> + Send;

    /// What became of the entry at `position`; `None`: there never was one.
    fn find(
        &self,
        position: u64,
    ) -> impl Future<Output = Result<Option<WriteState>, JournalError>> + Send;

    /// The oldest dead letters, at most `most`.
    fn dead_letters(
        &self,
        most: usize,
    ) -> impl Future<Output = Result<Vec<DeadLetter>, JournalError>> + Send;

    /// The dead letter at `position`; `None`: there is no such one.
    fn dead_letter(
        &self,
        position: u64,
    ) -> impl Future<Output = Result<Option<DeadLetter>, JournalError>> + Send;

    /// Puts a dead letter back at the journal's end; `None`: there is no such one. An error of
    /// [`StillRefused`] where it would be refused as a new write.
    fn replay(
        &self,
        position: u64,
    ) -> impl Future<Output = Result<Option<Journaled>, JournalError>> + Send;

    /// Throws a dead letter away; whether there was such one.
    fn discard(&self, position: u64) -> impl Future<Output = Result<bool, JournalError>> + Send;
}
