//! What write-behind has done, counted once, and its metrics.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Histogram;

use super::journal::Flushed;
use super::options::Mode;

/// What write-behind does in this process, and how much the journal holds as far as this process
/// knows: what others append or apply is known within a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBehindStatus {
    /// What an acknowledged write rests on.
    pub mode: Mode,
    /// Entries that wait to be applied.
    pub depth: u64,
    /// How long the oldest of them has waited.
    pub oldest: Duration,
    /// Dead letters.
    pub dead_letters: u64,
    /// Writes that this process has appended, …
    pub appended: u64,
    /// … in so many appends.
    pub appends: u64,
    /// Writes that were not taken because the journal was full.
    pub full: u64,
    /// Entries that this process has applied and taken off, …
    pub flushed: u64,
    /// … in so many flushes that found any.
    pub flushes: u64,
    /// Of the applied entries, those that needed no change of their own.
    pub coalesced: u64,
    /// Attempts to apply an entry that failed.
    pub failed: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) appended: AtomicU64,
    pub(super) appends: AtomicU64,
    pub(super) full: AtomicU64,
    pub(super) flushed: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) coalesced: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) sizes: OnceLock<Sizes>,
}

/// How many entries an append or a flush took.
#[derive(Debug)]
pub(super) struct Sizes {
    pub(super) append: Histogram<u64>,
    pub(super) flush: Histogram<u64>,
}

pub(super) fn attributes(mode: Mode) -> [KeyValue; 1] {
    [KeyValue::new("larder.mode", mode.as_str())]
}

impl Counters {
    pub(super) fn append(&self, mode: Mode, entries: u64) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.appended.fetch_add(entries, Ordering::Relaxed);
        if let Some(sizes) = self.sizes.get() {
            sizes.append.record(entries, &attributes(mode));
        }
    }

    pub(super) fn flush(&self, mode: Mode, flushed: &Flushed) {
        self.failed.fetch_add(flushed.failed + flushed.dead, Ordering::Relaxed);
        if flushed.entries == 0 {
            return;
        }
        let coalesced = flushed.entries.saturating_sub(flushed.applied);
        self.flushes.fetch_add(1, Ordering::Relaxed);
        self.flushed.fetch_add(flushed.entries, Ordering::Relaxed);
        self.coalesced.fetch_add(coalesced, Ordering::Relaxed);
        if let Some(sizes) = self.sizes.get() {
            sizes.flush.record(flushed.entries, &attributes(mode));
        }
    }
}

pub(super) fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}
