//! What is written down: the names in these types are those in `results.json`.

mod csv;
mod curve;
mod event;
mod headline;
mod run;
mod standing;
mod summary;
mod verdict;

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

pub use curve::{CurvePoint, curve_points};
pub use event::{Event, EventSummary, event_summaries, with_events};
pub use headline::Headline;
pub use run::{Coalesced, DbConnections, DbQueries, HitRatio, LatencyMs, Memory, Run, TierLookups};
pub use standing::Standing;
pub use summary::{
    Better, Cell, Figure, METRICS, Metric, REPEATS_FOR_A_CLAIM, Summary, repeats, summaries,
};
pub use verdict::{Verdict, verdicts};

use crate::measure::{Cpu, Interval};

/// Everything about one call of the benchmark.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The command that made it.
    pub command: String,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// What it ran on.
    pub machine: Machine,
    /// What was asked for.
    pub data_set: String,
    /// The statement behind a product page.
    pub statement: String,
    /// What that statement costs uncached: mean of Postgres's own times, in milliseconds.
    pub statement_mean_ms: Option<f64>,
    /// Whether this is a quick look: too short for a claim, whatever the intervals say.
    #[serde(default)]
    pub quick: bool,
    /// Why it ended before all was measured, if it did: what is there is a part, and no claim.
    #[serde(default)]
    pub broken_off: Option<String>,
    /// Each run.
    pub runs: Vec<Run>,
    /// The repeats of each cell together.
    #[serde(default)]
    pub summaries: Vec<Summary>,
    /// Each cell against the first strategy.
    #[serde(default)]
    pub verdicts: Vec<Verdict>,
    /// Which strategy the verdict is about; none where nothing is compared with another.
    #[serde(default)]
    pub headline: Option<Headline>,
    /// The points of the curves, each over its repeats.
    #[serde(default)]
    pub curve: Vec<CurvePoint>,
    /// What a restart or a lost server cost.
    #[serde(default)]
    pub events: Vec<Event>,
    /// What an open and a closed loop saw of the same stall.
    #[serde(default)]
    pub loops: Option<LoopFigures>,
    /// Ratios within this call, of paired rounds.
    pub ratios: Vec<Ratio>,
    /// What must hold.
    pub checks: Vec<Check>,
}

/// The machine and its software.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Its cores.
    pub cores: usize,
    /// Its memory.
    pub memory_bytes: u64,
    /// Its kernel.
    pub kernel: String,
    /// Postgres's version.
    pub postgres: String,
    /// Redis's or Valkey's.
    pub redis: String,
    /// This program's.
    pub larder: String,
}

/// A ratio of throughputs, measured in paired rounds.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ratio {
    /// What is compared.
    pub name: String,
    /// The ratio by throughput: requests a second, while the load generator takes its part of the same
    /// processors.
    pub ratio: Interval,
    /// The ratio by server CPU: requests for each processor second of API, Redis and Postgres, without the
    /// generator. None where a side used too little to be measured.
    #[serde(default)]
    pub by_server_cpu: Option<Interval>,
    /// Throughput above the line, of each round.
    pub numerator_rps: Vec<f64>,
    /// Throughput below the line, of each round.
    pub denominator_rps: Vec<f64>,
    /// Processor microseconds per request above the line (API, Postgres, Redis, generator).
    pub numerator_cpu_us: Cpu,
    /// The same below the line.
    pub denominator_cpu_us: Cpu,
    /// What the ratio by throughput must reach, where it must.
    pub bar: Option<f64>,
    /// Where it stands against that.
    #[serde(default)]
    pub standing: Option<Standing>,
}

/// What an open and a closed loop saw of the same stall.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct LoopFigures {
    /// How long the service stood still.
    pub stall_ms: f64,
    /// Timed from when requests were due.
    pub open: LatencyMs,
    /// Timed from when they were sent.
    pub closed: LatencyMs,
}

/// Something that must hold.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Check {
    /// What.
    pub name: String,
    /// What was found.
    pub found: String,
    /// Whether it holds; of a bar for a median with an interval, whether the median does.
    pub holds: bool,
    /// Where the interval stands, where there is one.
    #[serde(default)]
    pub standing: Option<Standing>,
}

impl Check {
    /// What either holds or does not: no chance is in it.
    #[must_use]
    pub const fn exact(name: String, found: String, holds: bool) -> Self {
        Self { name, found, holds, standing: None }
    }

    /// Whether chance is out of the question: there is none in it, or all of its interval is on one side.
    #[must_use]
    pub const fn is_decided(&self) -> bool {
        matches!(self.standing, None | Some(Standing::Holds | Standing::DoesNotHold))
    }

    /// What came of it, for people.
    #[must_use]
    pub const fn words(&self) -> &'static str {
        match (self.standing, self.holds) {
            (Some(standing), _) => standing.words(),
            (None, true) => Standing::Holds.words(),
            (None, false) => Standing::DoesNotHold.words(),
        }
    }
}

/// A file that is there, and no results.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: not results of this larder-bench: {error}; run it again")]
pub struct BadResults {
    file: String,
    line: usize,
    error: serde_json::Error,
}

impl Results {
    /// Whether nothing has been measured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.ratios.is_empty() && self.checks.is_empty()
    }

    /// Writes `results.json` and `results.csv` into `folder`.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let json = folder.join("results.json");
        std::fs::write(&json, serde_json::to_vec_pretty(self)?)
            .with_context(|| json.display().to_string())?;
        csv::write(&self.runs, folder)
    }

    /// Reads `results.json`: `path` is the file or its folder.
    ///
    /// # Errors
    ///
    /// When it is not there; when it is not ours, [`BadResults`].
    pub fn read(path: &Path) -> Result<Self> {
        let file = if path.is_dir() { path.join("results.json") } else { path.to_owned() };
        let text = std::fs::read(&file).with_context(|| {
            format!("{}: a folder with results.json is needed, or that file", file.display())
        })?;
        let mut results: Self = serde_json::from_slice(&text).map_err(|error| {
            let (line, file) = (error.line(), file.display().to_string());
            BadResults { file, line, error }
        })?;
        // Earlier versions did not write these.
        if results.headline.is_none() {
            results.headline = Headline::of_verdicts(&results.verdicts);
        }
        if results.curve.is_empty() {
            results.curve = curve_points(&results.runs);
        }
        Ok(results)
    }

    /// Whether anything of it may be a claim.
    #[must_use]
    pub const fn can_claim(&self) -> bool {
        !self.quick && self.broken_off.is_none()
    }

    /// The verdicts that are about the strategy which was chosen for that beforehand, one for each load.
    pub fn headlines(&self) -> impl Iterator<Item = &Verdict> {
        let is_of = move |verdict: &&Verdict| {
            self.headline.as_ref().is_some_and(|headline| headline.is_of(&verdict.cell))
        };
        self.verdicts.iter().filter(is_of)
    }

    /// The folder of results at `path`, as [`read`](Self::read) takes it.
    #[must_use]
    pub fn folder(path: &Path) -> &Path {
        if path.is_dir() { path } else { path.parent().unwrap_or(path) }
    }
}
