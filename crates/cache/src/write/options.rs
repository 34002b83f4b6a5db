//! How write-behind goes about it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use super::crash::CrashAt;
use super::journal::FlushOptions;

/// What an acknowledged write rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A journal that was committed to disk.
    Journaled,
    /// The memory of one process: a write that was acknowledged can be lost.
    Volatile,
}

/// A name that is no mode's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown mode {0:?}: use journaled or volatile")]
pub struct UnknownMode(String);

/// What becomes of a write when the journal is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused, to be tried again later.
    Refuse,
    /// The caller is told to write synchronously.
    Synchronous,
}

/// A name that is none of a set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("unknown choice {0:?}: use refuse or synchronous")]
pub struct UnknownWhenFull(String);

/// How write-behind goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteBehindOptions {
    /// Entries that the journal holds at most. Beyond it, writes are refused or go synchronous.
    /// This process is sure of its own; what others append it learns within a second. Too low:
    /// a burst is refused; too high: a stop of the database is paid for with a long catching up.
    pub max_depth: u64,
    /// What becomes of a write beyond it.
    pub when_full: WhenFull,
    /// Writes that wait in this process for the next append, at most: they bound its memory.
    pub queue: usize,
    /// Writes that one append takes, at most. Too low: a commit for few writes; too high: one
    /// statement holds many rows' locks for long.
    pub append_entries: usize,
    /// How old an entry becomes before a flush begins. Too low: little to coalesce; too high: the
    /// database's tables lag by so much.
    pub flush_after: Duration,
    /// How a flush goes about it. One begins also before `flush_after`, as soon as this process
    /// has appended `flush.entries`.
    pub flush: FlushOptions,
    /// Where to crash: for tests.
    #[doc(hidden)]
    pub crash: CrashAt,
}

/// An option that cannot work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{option}: {reason}")]
pub struct WriteBehindOptionsError {
    /// The field of [`WriteBehindOptions`].
    pub option: &'static str,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Mode {
    /// The name used in configuration and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Journaled => "journaled",
            Self::Volatile => "volatile",
        }
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        let all = [Self::Journaled, Self::Volatile];
        let found = all.into_iter().find(|mode| mode.as_str() == name);
        found.ok_or_else(|| UnknownMode(name.to_owned()))
    }
}

impl WhenFull {
    /// The name used in configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Synchronous => "synchronous",
        }
    }
}

impl FromStr for WhenFull {
    type Err = UnknownWhenFull;

    fn from_str(name: &str) -> Result<Self, UnknownWhenFull> {
        let all = [Self::Refuse, Self::Synchronous];
        let found = all.into_iter().find(|choice| choice.as_str() == name);
        found.ok_or_else(|| UnknownWhenFull(name.to_owned()))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Default for WriteBehindOptions {
    /// 100,000 entries, then refusals; appends of up to 512 out of a queue of 4,096; a flush every
    /// 500 ms or 1,000 entries; five attempts, a second apart at first.
    fn default() -> Self {
        Self {
            max_depth: 100_000,
            when_full: WhenFull::Refuse,
            queue: 4_096,
            append_entries: 512,
            flush_after: Duration::from_millis(500),
            flush: FlushOptions { entries: 1_000, attempts: 5, backoff: Duration::from_secs(1) },
            crash: CrashAt::default(),
        }
    }
}

impl WriteBehindOptions {
    /// Refuses what cannot work.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot.
    pub fn validate(&self) -> Result<(), WriteBehindOptionsError> {
        let least = [
            ("max_depth", self.max_depth),
            ("queue", self.queue as u64),
            ("append_entries", self.append_entries as u64),
            ("flush_entries", self.flush.entries as u64),
            ("attempts", u64::from(self.flush.attempts)),
        ];
        for (option, value) in least {
            if value == 0 {
                return Err(WriteBehindOptionsError { option, reason: "must be at least 1" });
            }
        }
        if self.flush_after.as_millis() == 0 {
            let reason = "must be at least 1 ms: without a delay nothing is coalesced";
            return Err(WriteBehindOptionsError { option: "flush_after", reason });
        }
        Ok(())
    }
}
