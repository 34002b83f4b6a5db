//! What happened: every committed step, by Postgres, and every read, by its reader.
//!
//! All times are microseconds since the Unix epoch, by this machine's clock: Postgres takes a
//! commit's time from the same clock as the readers take theirs.

use std::collections::HashMap;

use serde::Serialize;

use crate::scenario::ReadView;

/// The commit time of what was there before the run.
pub const BEFORE: i64 = i64::MIN;
/// The value of a product that is not there.
pub const ABSENT: i64 = -1;

/// What has a value that steps from one to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The counter of a key's version.
    Version(ReadView, u32),
    /// A namespace's epoch.
    Epoch(ReadView),
    /// A product itself: its price, or [`ABSENT`].
    Product(u32),
}

/// Who committed a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Writer {
    /// An API process, by its number.
    Process(u8),
    /// Somebody else, straight in SQL.
    Sql,
}

/// A committed transaction that changed something.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Write {
    /// Its id in Postgres.
    pub txid: i64,
    /// When it was committed.
    pub committed: i64,
    /// By whom.
    pub writer: Writer,
}

/// One value of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The value.
    pub value: i64,
    /// When it was committed; [`BEFORE`] for the first.
    pub committed: i64,
    /// The write that made it, by its place in [`History::writes`]; none for the first.
    pub write: Option<u32>,
    /// Whether that write deleted the product, even if it made it anew as well.
    pub deletion: bool,
}

/// The steps of one subject, in the order of their commits.
#[derive(Clone, Debug, Default)]
pub struct Register {
    steps: Vec<Step>,
    /// Value and place of each step, sorted: a reader's value is found in it.
    by_value: Vec<(i64, u32)>,
    /// For each step, the first one after it that deleted the product.
    deleted_next: Vec<Option<usize>>,
}

/// A version as the outside sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Version {
    /// The namespace's epoch.
    pub epoch: i64,
    /// The key's counter.
    pub counter: i64,
}

/// Why a read was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// As part of the load.
    Load,
    /// By a writer, after its write, through another process.
    Session,
    /// When the load was over, to see every key once more.
    Sweep,
}

/// What a writer that reads must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Nothing older than this.
    pub version: Version,
    /// Whether the product is there after the write.
    pub present: bool,
}

/// What a page or a summary said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Found {
    /// Its `ETag`.
    pub version: Version,
    /// The product's own price.
    pub price: i64,
    /// The products shown beside it, with their prices.
    pub related: Box<[(u32, i64)]>,
}

/// What a reader got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 200.
    Found(Found),
    /// 404.
    Absent,
    /// Anything else; 0 for no answer at all.
    Failed(u16),
}

/// One read.
#[derive(Clone, Debug, Serialize)]
pub struct Read {
    /// When it was sent.
    pub began: i64,
    /// When the whole answer was there.
    pub ended: i64,
    /// Which API process was asked.
    pub process: u8,
    /// What was asked for …
    pub view: ReadView,
    /// … of which product.
    pub product: u32,
    /// Why.
    pub phase: Phase,
    /// What it must see, whatever the time.
    pub expected: Option<Expected>,
    /// What came.
    pub answer: Answer,
}

/// All that happened in a run.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The steps of each subject.
    pub registers: HashMap<Subject, Register>,
    /// The transactions that made them.
    pub writes: Vec<Write>,
    /// The reads, in any order.
    pub reads: Vec<Read>,
    /// The region of each API process.
    pub regions: Vec<u8>,
}

impl Register {
    /// The steps that the caller has put in the order of their commits.
    #[must_use]
    pub fn new(steps: Vec<Step>) -> Self {
        let mut by_value: Vec<(i64, u32)> =
            (0..).zip(&steps).map(|(place, step)| (step.value, place)).collect();
        by_value.sort_unstable();
        let mut deleted_next = vec![None; steps.len()];
        let mut next = None;
        for (place, step) in steps.iter().enumerate().rev() {
            deleted_next[place] = next;
            if step.deletion {
                next = Some(place);
            }
        }
        Self { steps, by_value, deleted_next }
    }

    /// Its steps.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The step that a reader saw who got `value` by `ended`: the latest that can explain it.
    /// `None`: nobody had committed it by then.
    #[must_use]
    pub fn seen(&self, value: i64, ended: i64) -> Option<usize> {
        let start = self.by_value.partition_point(|entry| entry.0 < value);
        let end = self.by_value.partition_point(|entry| entry.0 <= value);
        let with_value = &self.by_value[start..end];
        let by_then = |entry: &(i64, u32)| self.steps[entry.1 as usize].committed <= ended;
        let count = with_value.partition_point(by_then);
        count.checked_sub(1).map(|last| with_value[last].1 as usize)
    }

    /// The step after `place`.
    #[must_use]
    pub fn next(&self, place: usize) -> Option<&Step> {
        self.steps.get(place + 1)
    }

    /// The first deletion after `place`.
    #[must_use]
    pub fn deletion_after(&self, place: usize) -> Option<&Step> {
        self.deleted_next[place].map(|next| &self.steps[next])
    }
}

impl Read {
    /// The values that it saw, of which subjects.
    pub fn values(&self) -> impl Iterator<Item = (Subject, i64)> + '_ {
        let own = Subject::Product(self.product);
        let (found, absent) = match &self.answer {
            Answer::Found(found) => (Some(found), None),
            Answer::Absent => (None, Some((own, ABSENT))),
            Answer::Failed(_) => (None, None),
        };
        let of_found = found.into_iter().flat_map(move |found| {
            let Version { epoch, counter } = found.version;
            let versions = [
                (Subject::Version(self.view, self.product), counter),
                (Subject::Epoch(self.view), epoch),
                (own, found.price),
            ];
            let related = found.related.iter();
            versions.into_iter().chain(related.map(|(id, price)| (Subject::Product(*id), *price)))
        });
        of_found.chain(absent)
    }
}

impl History {
    /// Whether `writer` is an API process in the region of `process`: its own invalidations
    /// reach that process, without the change feed.
    #[must_use]
    pub fn same_region(&self, writer: Writer, process: u8) -> bool {
        match writer {
            Writer::Process(by) => {
                self.regions.get(usize::from(by)) == self.regions.get(usize::from(process))
            }
            Writer::Sql => false,
        }
    }
}

/// Now, in microseconds since the Unix epoch.
#[must_use]
pub fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
