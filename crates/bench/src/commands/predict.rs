//! What `advise` foretells of L1, beside what the service then does.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use larder::Eviction;
use serde_json::Value;

use super::Session;
use super::again::{command, options, path};
use super::recorded::recorded;
use crate::bed::{Api, ApiSettings, equal_products};
use crate::load::Request;
use crate::measure::Labels;
use crate::scenario::ReadView;
use crate::simulate::{L1Plan, Sizes, in_parallel};
use crate::trace::{Access, Format, Op, Trace};

/// Measured loads may differ from the foretold ones by this part.
const BAR: f64 = 0.02;
/// Which keys share a shard is another draw in each process: so many are foretold.
const DRAWS: u64 = 16;
/// L1 keeps entries for longer than any replay takes.
const L1_TTL_MS: u64 = 24 * 3_600_000;
/// A moment in which a busy machine does not hear the backplane is not to cost loads.
const BOUND_MS: u64 = 60_000;

/// What to replay, and through which L1s.
#[derive(Clone, Debug)]
pub struct Predict {
    /// The file that it is named after.
    pub trace: PathBuf,
    /// Its format.
    pub format: Format,
    /// Only its first requests; 0: all.
    pub limit: usize,
    /// Entries that fit into L1, as parts of the distinct keys.
    pub sizes: Vec<f64>,
    /// Policies.
    pub evictions: Vec<Eviction>,
}

impl Predict {
    /// The command line that makes the run of an L1 again.
    fn command(&self, part: f64, eviction: Eviction) -> String {
        let format = self.format.to_possible_value().expect("each format has a name");
        let words = ["predict".into(), "--trace".into(), path(&self.trace)];
        command(words.into_iter().chain(options([
            ("--format", format.get_name().to_owned()),
            ("--sizes", part.to_string()),
            ("--eviction", eviction.to_string()),
            ("--limit", self.limit.to_string()),
        ])))
    }
}

/// The loads that were foretold.
struct Foretold {
    mean: f64,
    least: u64,
    most: u64,
}

/// Replays `trace` one request at a time through a process whose only tier is L1, for each policy
/// and size, on products whose summaries are all as long. That the loads, by both counts, are those
/// that the simulation foretells is checked.
///
/// # Errors
///
/// When a process does not start, the counts disagree, or entries are not as large as reckoned.
pub async fn predict(session: &mut Session, predict: &Predict, trace: &Trace) -> Result<()> {
    let name = predict.trace.file_name().map_or("trace".into(), |name| name.to_string_lossy());
    let url = session.bed.database().await?;
    session.bed.administer(&url, &["migrate"])?;
    let first = first_id(trace.distinct)?;
    equal_products(&url, first, trace.distinct).await?;
    let path = |key: u32| ReadView::ProductSummary.path(first - 1 + key);
    let requests: Arc<[Request]> =
        trace.requests.iter().map(|key| Request::get(path(*key))).collect();
    let accesses: Vec<Access> =
        trace.requests.iter().map(|key| Access { at_us: 0, key: *key, op: Op::Read }).collect();
    let sizes = entry(session, &url, &path(1), &path(trace.distinct)).await?;
    let floor = Some(u64::from(trace.distinct));
    for eviction in &predict.evictions {
        for part in &predict.sizes {
            let entries = (f64::from(trace.distinct) * part).round().max(1.0) as usize;
            let capacity = entries * sizes.entry(0);
            let foretold = foretell(&accesses, &sizes, *eviction, capacity);
            let api = Api::start(&session.bed, settings(&url, *eviction, capacity)).await?;
            let workload = format!(
                "{name}, equal values, L1 of {entries} entries ({:.1} % of the keys) with {eviction}",
                part * 100.0
            );
            let labels = Labels { workload: workload.clone(), floor, ..Labels::default() };
            let (again, requests) = (predict.command(*part, *eviction), Arc::clone(&requests));
            let run = recorded(session, &api, labels, 1, requests, again).await?;
            session.check(
                &format!("{workload}: every request is answered"),
                format!("{} errors in {} requests", run.errors, run.requests),
                run.errors == 0,
            );
            let loads = run.db_queries.loads;
            let off = loads as f64 / foretold.mean - 1.0;
            session.check(
                &format!("{workload}: loads as foretold, to {:.0} %", BAR * 100.0),
                format!(
                    "{:.0} foretold ({} to {} in {DRAWS} draws of shards), {loads} measured: {:+.2} %",
                    foretold.mean,
                    foretold.least,
                    foretold.most,
                    off * 100.0
                ),
                off.abs() <= BAR,
            );
            session.run(run);
        }
    }
    Ok(())
}

/// The first of `count` ids that all have as many digits.
fn first_id(count: u32) -> Result<u32> {
    let digits = (0..9).map(|power| 10_u32.pow(power));
    let first = digits.into_iter().find(|first| u64::from(first * 9) >= u64::from(count));
    first.with_context(|| format!("{count} keys are more than there are ids of one length"))
}

fn settings(url: &str, eviction: Eviction, capacity: usize) -> ApiSettings {
    let of_summary = |field: &str| format!("LARDER__NAMESPACES__PRODUCT_SUMMARY__{field}");
    ApiSettings {
        strategy: "read-through".to_owned(),
        tiers: "l1".to_owned(),
        ttl_ms: 0,
        l1_ttl_ms: L1_TTL_MS,
        admin_url: url.to_owned(),
        more: vec![
            (of_summary("L1_CAPACITY_BYTES"), capacity.to_string()),
            (of_summary("L1_EVICTION"), eviction.to_string()),
            ("LARDER__FEED__BOUND_MS".to_owned(), BOUND_MS.to_string()),
        ],
        ..ApiSettings::default()
    }
}

/// The size of every entry, as the service's own reckoning confirms.
async fn entry(session: &Session, url: &str, first: &str, last: &str) -> Result<Sizes> {
    let api = Api::start(&session.bed, settings(url, Eviction::Lru, 64 << 20)).await?;
    let mut client = api.client();
    let lengths = (client.fetch(first).await?.len(), client.fetch(last).await?.len());
    ensure!(lengths.0 == lengths.1, "summaries are not all as long: {lengths:?}");
    let sizes = Sizes::equal(u32::try_from(lengths.0).context("a summary's length")?);
    let shown: Value = serde_json::from_slice(&client.fetch("/admin/cache").await?)?;
    let namespaces = shown["namespaces"].as_array().context("/admin/cache has namespaces")?;
    let sum = |field: &str| namespaces.iter().filter_map(|n| n[field].as_u64()).sum::<u64>();
    let (entries, bytes) = (sum("l1_entries"), sum("l1_bytes"));
    ensure!(
        entries == 2 && bytes == 2 * sizes.entry(0) as u64,
        "L1 reckons {bytes} bytes for {entries} entries; {} each were foretold",
        sizes.entry(0)
    );
    Ok(sizes)
}

fn foretell(accesses: &[Access], sizes: &Sizes, eviction: Eviction, capacity: usize) -> Foretold {
    let seeds: Vec<u64> = (0..DRAWS).collect();
    let loads = in_parallel(&seeds, |seed| {
        let plan = L1Plan { eviction, capacity, ttl: None, processes: 1, seed: *seed };
        plan.answers(accesses, sizes).misses()
    });
    Foretold {
        mean: loads.iter().sum::<u64>() as f64 / DRAWS as f64,
        least: loads.iter().copied().min().unwrap_or(0),
        most: loads.iter().copied().max().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_length_are_found() {
        let found = [1, 9, 10, 20_484, 90_000, 90_001].map(|count| first_id(count).expect("ids"));
        assert_eq!(found, [1, 1, 10, 10_000, 10_000, 100_000]);
        assert!(first_id(u32::MAX).is_err());
    }
}
