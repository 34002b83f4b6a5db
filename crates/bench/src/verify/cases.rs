//! A wrong read, with what happened around it.

use std::collections::HashMap;

use serde::Serialize;

use super::check::{Kind, Path, Verdict, Violation};
use super::history::{Answer, History, Read, Subject, Writer};
use super::outcome::ms;

/// Of each kind of violation so many are told in full.
const OF_EACH_KIND: usize = 100;
/// Reads and steps that are told on either side.
const AROUND: usize = 6;
/// Of each path so many slow writes are told.
const SLOWEST: usize = 10;

/// A wrong read. Times are milliseconds since the load began.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What is wrong.
    pub kind: Kind,
    /// What was seen …
    pub subject: Subject,
    /// … with which value.
    pub value: i64,
    /// How old that was.
    pub staleness_ms: f64,
    /// The read.
    pub read: Told,
    /// Reads of the same key around it, in the order in which they began.
    pub reads_around: Vec<Told>,
    /// What was committed of the subject around it.
    pub steps_around: Vec<Commit>,
}

/// A read, as it is told.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    /// When it was sent.
    pub began_ms: f64,
    /// When its answer was there.
    pub ended_ms: f64,
    /// Everything else.
    #[serde(flatten)]
    pub read: Read,
}

/// A committed step; that without a writer was there before.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Commit {
    /// The value from then on; -1 for a product that is not there.
    pub value: i64,
    /// When; none for what was there before.
    pub committed_ms: Option<f64>,
    /// By whom.
    pub writer: Option<Writer>,
    /// Postgres's id of the transaction.
    pub txid: Option<i64>,
}

/// A write that took long to be seen.
#[derive(Clone, Debug, Serialize)]
pub struct Slow {
    /// How it had to reach the reader.
    pub path: Path,
    /// Postgres's id of the transaction.
    pub txid: i64,
    /// When it was committed.
    pub committed_ms: f64,
    /// By whom.
    pub writer: Writer,
    /// How long after that the last read began that had not seen it.
    pub lag_ms: f64,
    /// What that read saw something older of.
    pub subject: Subject,
    /// That read.
    pub read: Told,
}

/// The writes on each path that took longest to be seen.
pub(super) fn slowest(history: &History, verdict: &Verdict, start: i64) -> Vec<Slow> {
    let mut lags: Vec<_> = verdict.lags.iter().filter(|lag| lag.last.is_some()).collect();
    lags.sort_unstable_by_key(|lag| (lag.path, -lag.lag));
    let mut told: HashMap<Path, usize> = HashMap::new();
    lags.retain(|lag| {
        let count = told.entry(lag.path).or_default();
        *count += 1;
        *count <= SLOWEST
    });
    let told = lags.into_iter().filter_map(|lag| {
        let (read, subject) = lag.last?;
        let write = history.writes[lag.write as usize];
        Some(Slow {
            path: lag.path,
            txid: write.txid,
            committed_ms: ms(write.committed - start),
            writer: write.writer,
            lag_ms: ms(lag.lag),
            subject,
            read: tell_read(&history.reads[read], start, true),
        })
    });
    told.collect()
}

/// The first violations of each kind in full; `start` is when the load began.
pub(super) fn tell(history: &History, verdict: &Verdict, start: i64) -> Vec<Case> {
    if verdict.violations.is_empty() {
        return Vec::new();
    }
    let mut by_key: HashMap<_, Vec<&Read>> = HashMap::new();
    for read in &history.reads {
        by_key.entry((read.view, read.product)).or_default().push(read);
    }
    for reads in by_key.values_mut() {
        reads.sort_unstable_by_key(|read| read.began);
    }
    let mut sorted: Vec<&Violation> = verdict.violations.iter().collect();
    sorted.sort_unstable_by_key(|found| (found.kind, history.reads[found.read].began));
    let mut told: HashMap<Kind, usize> = HashMap::new();
    let first = sorted.into_iter().filter(|found| {
        let count = told.entry(found.kind).or_default();
        *count += 1;
        *count <= OF_EACH_KIND
    });
    first
        .map(|found| {
            let read = &history.reads[found.read];
            let of_key = &by_key[&(read.view, read.product)];
            let place = of_key.partition_point(|other| other.began < read.began);
            Case {
                kind: found.kind,
                subject: found.subject,
                value: found.value,
                staleness_ms: ms(found.staleness_us),
                read: tell_read(read, start, true),
                reads_around: around(of_key, place)
                    .iter()
                    .map(|read| tell_read(read, start, false))
                    .collect(),
                steps_around: steps(history, found.subject, read.began, start),
            }
        })
        .collect()
}

fn around<T>(all: &[T], place: usize) -> &[T] {
    &all[place.saturating_sub(AROUND)..(place + AROUND).min(all.len())]
}

/// Related prices only with `fully`: those of every read around it would hide the rest.
fn tell_read(read: &Read, start: i64, fully: bool) -> Told {
    let mut told = read.clone();
    if let Answer::Found(found) = &mut told.answer
        && !fully
    {
        found.related = Box::new([]);
    }
    Told { began_ms: ms(read.began - start), ended_ms: ms(read.ended - start), read: told }
}

fn steps(history: &History, subject: Subject, at: i64, start: i64) -> Vec<Commit> {
    let Some(register) = history.registers.get(&subject) else { return Vec::new() };
    let place = register.steps().partition_point(|step| step.committed < at);
    let told = around(register.steps(), place).iter().map(|step| {
        let write = step.write.map(|write| &history.writes[write as usize]);
        Commit {
            value: step.value,
            committed_ms: write.map(|write| ms(write.committed - start)),
            writer: write.map(|write| write.writer),
            txid: write.map(|write| write.txid),
        }
    });
    told.collect()
}
