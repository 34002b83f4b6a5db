//! What readers really see: a load of reads and writes from all sides on several API processes,
//! and every read checked against what Postgres had committed by then.
//!
//! `history` says what is known, `audit` takes the committed steps from Postgres, `reader`,
//! `load`, `writers` and `sql` make the load, `mixed` and `bulk` are the scenarios, `check`
//! finds what is wrong, and `judge`, `cases` and `text` tell it.

mod audit;
mod bulk;
mod cases;
pub mod check;
mod fleet;
pub mod history;
mod judge;
mod load;
mod mixed;
pub mod outcome;
pub(crate) mod reader;
mod report;
mod sql;
mod text;
mod writers;

use std::time::Duration;

use anyhow::Result;
use clap::builder::PossibleValuesParser;

pub use self::outcome::{Run, Verification};
pub use self::report::write;
pub use self::text::text;
pub use self::writers::{Operation, Tally};
use crate::bed::Bed;
use crate::measure::machine;

use self::fleet::Setup;

/// The strategies that promise more than a time to live: what `--strategy all` verifies.
const PROMISING: [&str; 5] =
    ["cache-aside", "read-through", "write-through", "write-behind", "refresh-ahead"];
/// What else `--strategy` may be: there is nothing to find without a cache, and much with a time to live.
const OTHERS: [&str; 3] = ["none", "ttl", "all"];

/// What to verify, and under which load.
#[derive(Clone, Debug, clap::Args)]
pub struct VerifyArgs {
    /// How long the load lasts.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(2..=86_400))]
    pub seconds: u32,
    /// API processes that share one database and one cache.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub processes: u8,
    /// One, or all, one after the other.
    #[arg(long, default_value = "read-through", value_parser = PossibleValuesParser::new([&PROMISING[..], &OTHERS].concat()))]
    pub strategy: String,
    /// The tiers of the cache.
    #[arg(long, default_value = "l1+l2", value_parser = PossibleValuesParser::new(["none", "l1", "l2", "l1+l2"]))]
    pub tiers: String,
    /// Reads a second.
    #[arg(long, default_value_t = 800.0, value_parser = rate)]
    pub rate: f64,
    /// The part of all requests that are writes, 0 to 0.9.
    #[arg(long, default_value_t = 0.1, value_parser = part)]
    pub writes: f64,
    /// Regions, each with a Redis Cluster of its own, over which the processes are spread.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub regions: u8,
    /// Instead: change 100,000 of 120,000 products in one statement, while they are read.
    #[arg(long)]
    pub bulk: bool,
    /// How long what was replaced may be seen.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub bound_ms: u32,
    /// Products of the generated catalogue: few, so that keys are hot and pages overlap.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(50..))]
    pub products: u32,
    /// Reviews of the generated catalogue.
    #[arg(long, default_value_t = 20_000)]
    pub reviews: u32,
    /// Where all that is random begins.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Let a page begin to show the product of the open transaction before that commits: its
    /// trigger ran before it could know of that page.
    #[arg(long)]
    pub late_link: bool,
    /// A fault to build into the change feed, to see that it is found.
    #[arg(long, hide = true)]
    pub sabotage: Option<String>,
}

impl VerifyArgs {
    /// Writes a second.
    #[must_use]
    pub fn write_rate(&self) -> f64 {
        self.rate * self.writes / (1.0 - self.writes)
    }

    /// How long what was replaced may be seen.
    #[must_use]
    pub fn bound(&self) -> Duration {
        Duration::from_millis(self.bound_ms.into())
    }

    fn strategies(&self) -> Vec<&str> {
        match self.strategy.as_str() {
            "all" => PROMISING.to_vec(),
            one => vec![one],
        }
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (1.0..=1e6).contains(&rate) { Ok(rate) } else { Err("must be from 1 to 1000000".to_owned()) }
}

fn part(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=0.9).contains(&part) { Ok(part) } else { Err("must be from 0 to 0.9".to_owned()) }
}

/// Runs what `args` ask for. `command` is the command line.
///
/// # Errors
///
/// When a server or a process does not start or answer.
pub async fn verify(bed: &mut Bed, args: &VerifyArgs, command: String) -> Result<Verification> {
    let started_at = jiff::Timestamp::now();
    bed.keep_commit_times().await?;
    let machine = machine(bed).await?;
    let mut regions = vec![None];
    if args.regions > 1 {
        regions.push(Some(bed.second_region().await?));
    }
    let mut runs = Vec::new();
    for strategy in args.strategies() {
        let (products, reviews) =
            if args.bulk { (bulk::PRODUCTS, bulk::REVIEWS) } else { (args.products, args.reviews) };
        let setup = Setup {
            strategy: strategy.to_owned(),
            tiers: args.tiers.clone(),
            processes: args.processes,
            products,
            reviews,
            regions: regions.clone(),
            sabotage: args.sabotage.clone(),
        };
        let run = if args.bulk {
            bulk::bulk(bed, &setup, args).await?
        } else {
            mixed::mixed(bed, &setup, args).await?
        };
        runs.push(run);
    }
    let holds = runs.iter().all(|run| run.checks.iter().all(|check| check.holds));
    Ok(Verification { command, started_at, machine, holds, runs })
}
