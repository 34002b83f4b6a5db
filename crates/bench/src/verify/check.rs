//! Whether every read was right, and how long every write took to be seen.
//!
//! A read that began at `t0` must not be older than what had been committed by then. Its
//! *staleness* is `t0` minus the commit of the first step that it should have seen and did not;
//! 0 if there is none. What is committed while a read is under way it may see or not.

use std::collections::HashMap;

use serde::Serialize;

use super::history::{Answer, BEFORE, Expected, History, Phase, Read, Register, Subject, Writer};

/// What is wrong with a read. A read that is wrong in several ways counts as the first of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It saw what nobody had committed by the time it ended.
    NeverCommitted,
    /// It had been told the version of its own write, and got an older one.
    ReadYourWrites,
    /// It saw a product as it was before a deletion that was older than the bound.
    Resurrection,
    /// Its version was current, but what it showed had been replaced longer ago than the bound:
    /// a change that moved no version.
    OldContent,
    /// It saw less than a read of the same key that had ended before it began, beyond the bound.
    WentBack,
    /// It saw what had been replaced longer ago than the bound.
    Stale,
}

/// A wrong read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Violation {
    /// What is wrong.
    pub kind: Kind,
    /// Which read, by its place in [`History::reads`].
    pub read: usize,
    /// What it saw …
    pub subject: Subject,
    /// … with which value.
    pub value: i64,
    /// How old that was, in microseconds.
    pub staleness_us: i64,
}

/// How a write reaches a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// Written through the API, read in the same region: the writer itself invalidates.
    Api,
    /// Written in SQL, behind the service's back: the change feed finds it.
    Sql,
    /// Written through the API of another region: the change feed again.
    OtherRegion,
}

/// How long one write was not seen by some reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// The write, by its place in [`History::writes`].
    pub write: u32,
    /// How it had to reach the reader.
    pub path: Path,
    /// From its commit to the beginning of the last read that saw something older, in
    /// microseconds; 0 if there was none.
    pub lag: i64,
    /// That read, by its place in [`History::reads`], and what it saw something older of.
    pub last: Option<(usize, Subject)>,
}

/// What is to be said about a history.
#[derive(Clone, Debug, Default)]
pub struct Verdict {
    /// Staleness of each answered read of the load, in microseconds, with the path of the write
    /// that it missed.
    pub staleness: Vec<(i64, Option<Path>)>,
    /// Every write that was watched: some read of what it changed began within the bound after
    /// its commit.
    pub lags: Vec<Lag>,
    /// Every wrong read.
    pub violations: Vec<Violation>,
    /// Reads that saw less than one that had ended before they began, however briefly.
    pub went_back: u64,
}

/// What a read saw of one subject.
#[derive(Clone, Copy)]
struct Sight {
    read: usize,
    place: usize,
}

/// Checks every read of `history`; `bound` is the longest that a replaced value may be seen, in
/// microseconds.
#[must_use]
pub fn check(history: &History, bound: i64) -> Verdict {
    let mut sights: HashMap<Subject, Vec<Sight>> = HashMap::new();
    let mut unknown: Vec<Option<(Subject, i64)>> = vec![None; history.reads.len()];
    for (number, read) in history.reads.iter().enumerate() {
        for (subject, value) in read.values() {
            let register = history.registers.get(&subject);
            match register.and_then(|register| register.seen(value, read.ended)) {
                Some(place) => {
                    sights.entry(subject).or_default().push(Sight { read: number, place });
                }
                None => unknown[number] = unknown[number].or(Some((subject, value))),
            }
        }
    }

    let mut worst: Vec<Option<Worst>> = vec![None; history.reads.len()];
    let mut backwards = vec![false; history.reads.len()];
    let mut lags = Lags::new(history, bound);
    for (subject, sights) in &mut sights {
        let register = &history.registers[subject];
        sights.sort_unstable_by_key(|sight| history.reads[sight.read].began);
        for sight in sights.iter() {
            let began = history.reads[sight.read].began;
            let seen = Worst::of(*subject, register, sight.place, began, bound);
            let so_far = worst[sight.read];
            worst[sight.read] = Some(so_far.map_or(seen, |other| other.and(seen)));
        }
        if matches!(subject, Subject::Version(..)) {
            mark_backwards(history, sights, &mut backwards);
        }
        lags.watch(*subject, register, sights);
    }

    let mut verdict = Verdict { lags: lags.finish(), ..Verdict::default() };
    for (number, read) in history.reads.iter().enumerate() {
        if matches!(read.answer, Answer::Failed(_)) {
            continue;
        }
        let seen = worst[number];
        verdict.went_back += u64::from(backwards[number]);
        if read.phase != Phase::Sweep {
            let staleness = seen.map_or(0, |seen| seen.staleness);
            let path = seen
                .and_then(|seen| seen.missed)
                .map(|write| path(history, history.writes[write as usize].writer, read.process));
            verdict.staleness.push((staleness, path));
        }
        let violation = |kind, subject, value| {
            let staleness_us = seen.map_or(0, |seen| seen.staleness);
            Violation { kind, read: number, subject, value, staleness_us }
        };
        if let Some((subject, value)) = unknown[number] {
            verdict.violations.push(violation(Kind::NeverCommitted, subject, value));
        } else if let Some((subject, value)) = unmet(read) {
            verdict.violations.push(violation(Kind::ReadYourWrites, subject, value));
        } else if let Some(seen) = seen.filter(|seen| seen.staleness > bound) {
            let kind = if seen.resurrected {
                Kind::Resurrection
            } else if seen.versioned && seen.version_staleness <= bound {
                Kind::OldContent
            } else if backwards[number] {
                Kind::WentBack
            } else {
                Kind::Stale
            };
            verdict.violations.push(violation(kind, seen.subject, seen.value));
        }
    }
    verdict
}

/// The oldest of what a read saw.
#[derive(Clone, Copy)]
struct Worst {
    subject: Subject,
    value: i64,
    staleness: i64,
    missed: Option<u32>,
    resurrected: bool,
    /// Whether it had a version, and how old that was.
    versioned: bool,
    version_staleness: i64,
}

impl Worst {
    fn of(subject: Subject, register: &Register, place: usize, began: i64, bound: i64) -> Self {
        let value = register.steps()[place].value;
        let missed = register.next(place).filter(|step| step.committed < began);
        let deletion = register.deletion_after(place);
        let staleness = missed.map_or(0, |step| began - step.committed);
        let versioned = !matches!(subject, Subject::Product(_));
        Self {
            subject,
            value,
            staleness,
            versioned,
            version_staleness: if versioned { staleness } else { 0 },
            missed: missed.and_then(|step| step.write),
            // What is not there cannot have been brought back.
            resurrected: value >= 0
                && deletion.is_some_and(|step| step.committed.saturating_add(bound) < began),
        }
    }

    fn and(self, other: Self) -> Self {
        let resurrected = self.resurrected || other.resurrected;
        let versioned = self.versioned || other.versioned;
        let version_staleness = self.version_staleness.max(other.version_staleness);
        let older = if other.staleness > self.staleness { other } else { self };
        Self { resurrected, versioned, version_staleness, ..older }
    }
}

/// What a read saw that it had been told not to accept.
fn unmet(read: &Read) -> Option<(Subject, i64)> {
    let Expected { version, present } = read.expected?;
    match &read.answer {
        Answer::Found(found) if found.version < version => {
            Some((Subject::Version(read.view, read.product), found.version.counter))
        }
        Answer::Absent if present => Some((Subject::Product(read.product), super::history::ABSENT)),
        _ => None,
    }
}

fn path(history: &History, writer: Writer, process: u8) -> Path {
    match writer {
        Writer::Sql => Path::Sql,
        Writer::Process(_) if history.same_region(writer, process) => Path::Api,
        Writer::Process(_) => Path::OtherRegion,
    }
}

/// Marks reads that saw less than one that had ended before they began. `sights` are in the
/// order in which their reads began.
fn mark_backwards(history: &History, sights: &[Sight], backwards: &mut [bool]) {
    let mut by_end: Vec<&Sight> = sights.iter().collect();
    by_end.sort_unstable_by_key(|sight| history.reads[sight.read].ended);
    let mut ended = by_end.into_iter().peekable();
    let mut newest = 0;
    for sight in sights {
        let began = history.reads[sight.read].began;
        while let Some(earlier) = ended.next_if(|s| history.reads[s.read].ended < began) {
            newest = newest.max(earlier.place);
        }
        backwards[sight.read] |= sight.place < newest;
    }
}

/// Collects, for each write, the last read that had not seen it.
struct Lags<'a> {
    history: &'a History,
    bound: i64,
    /// For each write that somebody looked at, the longest lag on each path.
    found: HashMap<(u32, Path), Lag>,
}

impl<'a> Lags<'a> {
    fn new(history: &'a History, bound: i64) -> Self {
        Self { history, bound, found: HashMap::new() }
    }

    /// Takes in what was seen of one subject, in the order in which the reads began.
    fn watch(&mut self, subject: Subject, register: &Register, sights: &[Sight]) {
        let mut regions = self.history.regions.clone();
        regions.sort_unstable();
        regions.dedup();
        for region in regions {
            let here: Vec<Sight> =
                sights.iter().copied().filter(|sight| self.region(*sight) == region).collect();
            self.watch_in_region(subject, register, &here);
        }
    }

    fn watch_in_region(&mut self, subject: Subject, register: &Register, sights: &[Sight]) {
        let reads = &self.history.reads;
        let Some(process) = sights.first().map(|sight| reads[sight.read].process) else { return };
        // When the last read began that saw this step, and which it was.
        let mut last = vec![(BEFORE, 0); register.steps().len()];
        for sight in sights {
            last[sight.place] = (reads[sight.read].began, sight.read);
        }
        let mut older = (BEFORE, 0);
        for (step, last) in register.steps().iter().zip(last) {
            if let Some(write) = step.write {
                let committed = step.committed;
                let after = sights.partition_point(|s| reads[s.read].began <= committed);
                let looked = sights.get(after).is_some_and(|sight| {
                    reads[sight.read].began <= committed.saturating_add(self.bound)
                });
                if looked || older.0 > committed {
                    let lag = older.0.saturating_sub(committed).max(0);
                    let writer = self.history.writes[write as usize].writer;
                    let path = path(self.history, writer, process);
                    let last = (lag > 0).then_some((older.1, subject));
                    let lag = Lag { write, path, lag, last };
                    let known = self.found.entry((write, path)).or_insert(lag);
                    if lag.lag > known.lag {
                        *known = lag;
                    }
                }
            }
            older = older.max(last);
        }
    }

    fn region(&self, sight: Sight) -> u8 {
        let process = self.history.reads[sight.read].process;
        self.history.regions.get(usize::from(process)).copied().unwrap_or(0)
    }

    fn finish(self) -> Vec<Lag> {
        let mut lags: Vec<Lag> = self.found.into_values().collect();
        lags.sort_unstable_by_key(|lag| (lag.write, lag.path));
        lags
    }
}

#[cfg(test)]
mod tests;
