//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use larder::Eviction;
use larder_bench::advise::AdviseArgs;
use larder_bench::bed::StackChoice;
use larder_bench::chaos::ChaosArgs;
use larder_bench::commands::{Part, Selection};
use larder_bench::guide::GuideArgs;
use larder_bench::scenario::Contender;
use larder_bench::trace::Format;
use larder_bench::verify::VerifyArgs;

/// Compares cache strategies by database queries, latency and throughput.
///
/// Each command starts API processes of its own, counts every SQL statement twice (the
/// application, and Postgres for a role that nobody else uses) and writes results.json,
/// results.csv and report.html.
#[derive(Parser)]
#[command(name = "larder-bench", version)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Args)]
pub(crate) struct Common {
    /// The servers: own = started here and stopped at the end; running = those of `make up`.
    #[arg(long, global = true, value_enum, default_value = "own")]
    pub(crate) stack: StackChoice,
    /// Where results go [default: target/larder-bench/<time>-<command>]
    #[arg(long, global = true)]
    pub(crate) out: Option<PathBuf>,
    /// Also print results.json to standard output.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The catalog-api program to measure [default: the one beside this program]
    #[arg(long, global = true)]
    pub(crate) api: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Everything that `make bench` shows: curves, ratios, and recorded sequences.
    All {
        /// Under ten minutes instead of a little over an hour, with fewer repeats and no claim.
        #[arg(long)]
        quick: bool,
        /// The folder with traces/ and online-retail/; of these, what is not there is left out
        /// [default: ../shared/data, if it is there]
        #[arg(long, env = "LARDER_DATA")]
        data: Option<PathBuf>,
    },
    /// What a scenario file says: strategies × processes × workloads × loads, curves, ratios.
    Run {
        /// See crates/bench/scenarios: quick.toml and product-page.toml explain every key.
        scenario: PathBuf,
        /// Only this part of it [default: all that are there]
        #[arg(long, value_enum)]
        part: Option<Part>,
        #[command(flatten)]
        selection: Selection,
        /// Also show how a closed loop hides a stall of a second that an open one shows.
        #[arg(long)]
        compare_loops: bool,
        /// Put Postgres so many milliseconds away from the service (a round trip, through a
        /// proxy). All results say so.
        #[arg(long, value_name = "MS", value_parser = milliseconds)]
        db_latency: Option<f64>,
    },
    /// A recorded sequence of reads, in its order, from an empty cache.
    Replay {
        #[arg(long)]
        trace: PathBuf,
        #[arg(long, value_enum)]
        format: Format,
        #[command(flatten)]
        strategy: StrategyArgs,
        /// Requests under way at once; with 1 the order is exact.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
        connections: u16,
        /// Only the first requests; 0: all.
        #[arg(long, default_value_t = 0)]
        limit: usize,
        /// Products of the generated catalogue, if the database is empty.
        #[arg(long, default_value_t = 50_000)]
        products: u32,
        /// Reviews of the generated catalogue, if the database is empty.
        #[arg(long, default_value_t = 500_000)]
        reviews: u32,
    },
    /// The orders of the Online Retail data set: looks at pages, and changes of stock.
    OnlineRetail {
        /// Where products.csv and order-lines.csv.xz are.
        folder: PathBuf,
        #[command(flatten)]
        strategy: StrategyArgs,
        /// Looks at a page for each order.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=1000))]
        looks: u16,
        /// Only the first order lines; 0: all 541,909.
        #[arg(long, default_value_t = 20_000)]
        limit: usize,
    },
    /// All orders of the Online Retail data set as changes of stock: what a write costs.
    Stock {
        /// Where products.csv and order-lines.csv.xz are.
        folder: PathBuf,
        /// The strategies to compare.
        #[arg(long, value_delimiter = ',', default_value = "write-through,write-behind")]
        strategies: Vec<String>,
        /// Requests under way at once.
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=4096))]
        in_flight: u16,
        /// Only the first order lines; 0: all 541,909.
        #[arg(long, default_value_t = 0)]
        limit: usize,
    },
    /// What readers really see: reads and writes from all sides on several processes, each read
    /// checked against what Postgres had committed.
    Verify(VerifyArgs),
    /// What caching would do for the traffic of a log: database queries by strategy, L1 by size
    /// and policy, and the settings to begin with. Starts nothing: the log is simulated.
    ///
    /// Writes advise.json, advise.html and larder.toml.
    Advise(AdviseArgs),
    /// What advise foretells of L1 beside what the service does: a recorded sequence, replayed in
    /// its order through L1 alone, on products whose summaries are all as long.
    Predict {
        #[arg(long)]
        trace: PathBuf,
        #[arg(long, value_enum)]
        format: Format,
        /// Entries that fit into L1, as parts of the distinct keys.
        #[arg(long, value_delimiter = ',', default_value = "0.01,0.05,0.1", value_parser = part_of_keys)]
        sizes: Vec<f64>,
        /// Policies: lru, s3-fifo, w-tinylfu, sieve or fifo.
        #[arg(long, value_delimiter = ',', default_value = "s3-fifo")]
        eviction: Vec<Eviction>,
        /// Only the first requests; 0: all.
        #[arg(long, default_value_t = 0)]
        limit: usize,
    },
    /// Whether write-behind loses nothing: processes and servers are killed under a load of writes,
    /// and the clients' own records are compared with Postgres.
    Chaos(ChaosArgs),
    /// The step-by-step guide: one workload, one setting after the other, measured, and the document
    /// made from that.
    Guide(GuideArgs),
    /// Two results, figure by figure, with the interval of each difference. Ends with 1 when one
    /// is worse beyond the threshold and its whole interval, too, or a cell is missing after.
    Compare {
        /// A folder of results, or its results.json: before …
        before: PathBuf,
        /// … and after.
        after: PathBuf,
        /// The part by which a figure may be worse.
        #[arg(long, default_value_t = 0.1, value_parser = part)]
        threshold: f64,
    },
    /// Makes report.html and report.md anew from results.json.
    Report {
        /// A folder of results, or its results.json.
        results: PathBuf,
    },
}

fn milliseconds(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.1..=1_000.0).contains(&value) {
        Ok(value)
    } else {
        Err("must be from 0.1 to 1000".into())
    }
}

fn part(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=10.0).contains(&value) { Ok(value) } else { Err("must be from 0 to 10".into()) }
}

#[derive(Args)]
pub(crate) struct StrategyArgs {
    /// none, cache-aside, read-through, write-through, write-behind, refresh-ahead or ttl.
    #[arg(long, default_value = "cache-aside")]
    pub(crate) strategy: String,
    /// none, l1, l2 or l1+l2 [default: l2, or none for the strategy none]
    #[arg(long)]
    pub(crate) tiers: Option<String>,
    /// Life of an entry in milliseconds; 0: unbounded.
    #[arg(long, default_value_t = 0)]
    pub(crate) ttl_ms: u64,
}

impl StrategyArgs {
    /// # Errors
    ///
    /// When there is no such strategy, or not in these tiers.
    pub(crate) fn contender(self) -> anyhow::Result<Contender> {
        let usual = if self.strategy == "none" { "none" } else { "l2" };
        let tiers = self.tiers.unwrap_or_else(|| usual.to_owned());
        Contender { ttl_ms: self.ttl_ms, ..Contender::new(&self.strategy, &tiers) }.checked()
    }
}

impl Command {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::All { .. } => "all",
            Self::Run { .. } => "run",
            Self::Replay { .. } => "replay",
            Self::OnlineRetail { .. } => "online-retail",
            Self::Stock { .. } => "stock",
            Self::Advise(_) => "advise",
            Self::Predict { .. } => "predict",
            Self::Verify(_) => "verify",
            Self::Chaos(_) => "chaos",
            Self::Guide(_) => "guide",
            Self::Compare { .. } => "compare",
            Self::Report { .. } => "report",
        }
    }
}

/// A part of the keys.
fn part_of_keys(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| "must be above 0, and 1 at most".to_owned())
}
