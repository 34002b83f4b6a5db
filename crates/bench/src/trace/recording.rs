//! A recorded sequence, with all that its file tells.

use std::fmt::Display;
use std::path::Path;

use ahash::HashMap;
use anyhow::Result;

use super::{BadData, Format, source};

/// The part of a file's lines that may be unreadable, where nothing else is asked for.
pub const MAX_BROKEN: f64 = 0.01;
/// Unreadable lines that are shown.
const SHOWN: usize = 5;

/// What was done with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// It was read.
    Read,
    /// It was changed: what was read before is old.
    Write,
}

/// One step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Microseconds since the first step; 0 where times are unknown.
    pub at_us: u64,
    /// The key's number, from 0.
    pub key: u32,
    /// What was done.
    pub op: Op,
}

/// A recorded sequence; keys are numbered from 0 in the order in which they first appear.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    /// All steps, in order.
    pub accesses: Vec<Access>,
    /// The names of the keys.
    pub keys: Vec<String>,
    /// Whether the file tells times.
    pub timed: bool,
    /// When it began, in microseconds since 1970; 0 where times are unknown.
    pub began_us: i64,
    /// Bytes of each key's value as last seen, 0 where unknown; empty if no line tells any.
    pub bytes: Vec<u32>,
    /// Milliseconds that a query of each key takes on average, none where unknown; empty if no
    /// line tells any.
    pub cost_ms: Vec<Option<f64>>,
    /// Lines that are neither a read nor a write, such as requests that failed.
    pub others: u64,
    /// Lines that could not be read.
    pub broken: Broken,
}

/// Lines that could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Broken {
    /// How many.
    pub count: u64,
    /// Of how many.
    pub lines: u64,
    /// The first of them, with their numbers and what is wrong.
    pub first: Vec<String>,
}

/// What a line tells.
pub(super) struct Line<'a> {
    pub(super) key: &'a str,
    pub(super) op: Op,
    /// Microseconds since 1970.
    pub(super) at_us: Option<i64>,
    pub(super) bytes: Option<u32>,
    pub(super) cost_ms: Option<f64>,
}

impl Recording {
    /// Reads `file`, packed by gzip, xz or nothing. Times that go backwards are held at the
    /// latest before them, for logs are written when requests end.
    ///
    /// # Errors
    ///
    /// When it cannot be read, holds nothing, or more than the part `max_broken` of its lines
    /// is unreadable ([`BadData`], which names file, line and remedy).
    pub fn read(file: &Path, format: Format, max_broken: f64) -> Result<Self> {
        let mut builder = Builder::default();
        let read = source::open(file).and_then(|mut text| match format {
            Format::Cache2k => super::cache2k::read(&mut text, &mut builder),
            Format::Csv => super::keyed::read(&mut text, &mut builder),
            Format::Combined => super::combined::read(&mut text, &mut builder),
        });
        read.map_err(|error| source::blame(error, file))?;
        builder.finish(file, format, max_broken)
    }

    /// How many steps are reads.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.accesses.iter().filter(|access| access.op == Op::Read).count()
    }

    /// Seconds from the first step to the last; none where times are unknown.
    #[must_use]
    pub fn seconds(&self) -> Option<f64> {
        let last = self.accesses.last()?;
        self.timed.then_some(last.at_us as f64 / 1e6)
    }

    /// Gives every step a time, `per_second` steps a second, in place of those it has.
    pub fn pace(&mut self, per_second: f64) {
        for (number, access) in self.accesses.iter_mut().enumerate() {
            access.at_us = (number as f64 / per_second * 1e6) as u64;
        }
        (self.timed, self.began_us) = (true, 0);
    }

    /// Leaves out all keys that do not begin with `prefix`.
    pub fn keep_only(&mut self, prefix: &str) {
        let kept: Vec<bool> = self.keys.iter().map(|key| key.starts_with(prefix)).collect();
        let mut next = 0;
        let numbers: Vec<u32> = kept
            .iter()
            .map(|kept| {
                let number = next;
                next += u32::from(*kept);
                number
            })
            .collect();
        self.accesses.retain_mut(|access| {
            let place = access.key as usize;
            access.key = numbers[place];
            kept[place]
        });
        retain(&mut self.keys, &kept);
        retain(&mut self.bytes, &kept);
        retain(&mut self.cost_ms, &kept);
    }

    /// Puts the writes of `other` between the steps, by their times. Keys that were never read
    /// are kept: they cost writes, too.
    pub fn merge_writes(&mut self, other: &Self) {
        let mut numbers: HashMap<&str, u32> =
            self.keys.iter().map(String::as_str).zip(0..).collect();
        let mut new = Vec::new();
        let began = self.began_us.min(other.began_us);
        let shift = |steps_began: i64| steps_began.abs_diff(began);
        let (own, others) = (shift(self.began_us), shift(other.began_us));
        let writes = other.accesses.iter().filter(|access| access.op == Op::Write).map(|write| {
            let name = other.keys[write.key as usize].as_str();
            let next = number_of(numbers.len());
            let key = *numbers.entry(name).or_insert_with(|| {
                new.push(name.to_owned());
                next
            });
            Access { at_us: write.at_us + others, key, op: Op::Write }
        });
        let writes: Vec<Access> = writes.collect();
        drop(numbers);
        for access in &mut self.accesses {
            access.at_us += own;
        }
        self.accesses.extend(writes);
        // Stable: at the same moment a read comes before a write, as it was recorded first.
        self.accesses.sort_by_key(|access| access.at_us);
        self.began_us = began;
        self.keys.append(&mut new);
        if !self.bytes.is_empty() {
            self.bytes.resize(self.keys.len(), 0);
        }
        if !self.cost_ms.is_empty() {
            self.cost_ms.resize(self.keys.len(), None);
        }
    }
}

impl Broken {
    /// What to say of them; nothing if there are none.
    #[must_use]
    pub fn warning(&self, file: &Path) -> Option<String> {
        (self.count > 0).then(|| {
            format!(
                "{}: {} of {} lines cannot be read and are left out ({})",
                file.display(),
                self.count,
                self.lines,
                self.first.join("; ")
            )
        })
    }
}

/// Collects what lines tell.
#[derive(Default)]
pub(super) struct Builder {
    numbers: HashMap<Box<str>, u32>,
    recording: Recording,
    latest_us: i64,
    costs: Vec<(f64, u32)>,
}

impl Builder {
    pub(super) fn push(&mut self, line: &Line<'_>) {
        self.recording.broken.lines += 1;
        let key = match self.numbers.get(line.key) {
            Some(key) => *key,
            None => {
                let key = number_of(self.recording.keys.len());
                self.numbers.insert(line.key.into(), key);
                self.recording.keys.push(line.key.to_owned());
                key
            }
        };
        let at_us = match line.at_us {
            None => 0,
            Some(at) => {
                if !self.recording.timed {
                    self.recording.timed = true;
                    (self.recording.began_us, self.latest_us) = (at, at);
                }
                self.latest_us = self.latest_us.max(at);
                self.latest_us.abs_diff(self.recording.began_us)
            }
        };
        let place = key as usize;
        if let Some(bytes) = line.bytes {
            let all = &mut self.recording.bytes;
            all.resize(all.len().max(place + 1), 0);
            all[place] = bytes;
        }
        if let Some(cost) = line.cost_ms {
            self.costs.resize(self.costs.len().max(place + 1), (0.0, 0));
            self.costs[place].0 += cost;
            self.costs[place].1 += 1;
        }
        self.recording.accesses.push(Access { at_us, key, op: line.op });
    }

    /// Takes in numbers as keys, each read once.
    pub(super) fn push_numbers(&mut self, keys: impl Iterator<Item = i32>) {
        let mut numbers: HashMap<i32, u32> = HashMap::default();
        let Recording { accesses, keys: names, .. } = &mut self.recording;
        for key in keys {
            let key = *numbers.entry(key).or_insert_with(|| {
                names.push(key.to_string());
                number_of(names.len() - 1)
            });
            accesses.push(Access { at_us: 0, key, op: Op::Read });
        }
    }

    pub(super) fn broken(&mut self, number: u64, why: impl Display) {
        let broken = &mut self.recording.broken;
        broken.lines += 1;
        broken.count += 1;
        if broken.first.len() < SHOWN {
            broken.first.push(format!("line {number}: {why}"));
        }
    }

    /// A line that is neither a read nor a write.
    pub(super) fn other(&mut self) {
        self.recording.broken.lines += 1;
        self.recording.others += 1;
    }

    fn finish(self, file: &Path, format: Format, max_broken: f64) -> Result<Recording> {
        let mut recording = self.recording;
        let broken = &recording.broken;
        if broken.count as f64 > max_broken * broken.lines as f64 {
            let share = 100.0 * broken.count as f64 / broken.lines as f64;
            return Err(BadData::new(format!(
                "{}: {} of {} lines ({share:.1} %) cannot be read as {}: {}; choose another \
                 --format, mend them, or let more of them be left out with --max-broken",
                file.display(),
                broken.count,
                broken.lines,
                format.what(),
                broken.first.join("; ")
            ))
            .into());
        }
        if recording.accesses.is_empty() {
            let what = file.display();
            return Err(
                BadData::new(format!("{what} has no requests: is it the right file?")).into()
            );
        }
        let keys = recording.keys.len();
        if !recording.bytes.is_empty() {
            recording.bytes.resize(keys, 0);
        }
        let mean = |(sum, count): &(f64, u32)| (*count > 0).then(|| sum / f64::from(*count));
        recording.cost_ms = self.costs.iter().map(mean).collect();
        if !recording.cost_ms.is_empty() {
            recording.cost_ms.resize(keys, None);
        }
        Ok(recording)
    }
}

/// Keeps the elements of `all` that `kept` says; where there are none at all, nothing is to do.
fn retain<T>(all: &mut Vec<T>, kept: &[bool]) {
    let mut kept = kept.iter();
    all.retain(|_| kept.next().copied().unwrap_or(false));
}

fn number_of(keys: usize) -> u32 {
    u32::try_from(keys).expect("fewer than 2^32 keys")
}
