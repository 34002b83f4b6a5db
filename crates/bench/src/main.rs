//! `larder-bench`: strategies side by side, by queries, latency and throughput.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use larder_bench::bed::{Bed, StackChoice, api_beside_us, target_dir};
use larder_bench::chaos::{self, ChaosArgs};
use larder_bench::commands::{self, Replay, Retail, Session, Stock};
use larder_bench::report;
use larder_bench::results::Results;
use larder_bench::scenario::{Contender, DataSet, Scenario};
use larder_bench::trace::Format;
use larder_bench::verify::{self, VerifyArgs};

/// Exit codes of sysexits.h.
const EX_USAGE: u8 = 64;
const EX_SOFTWARE: u8 = 70;

/// Compares cache strategies by database queries, latency and throughput.
///
/// Each command starts API processes of its own, counts every SQL statement twice (the
/// application, and Postgres for a role that nobody else uses) and writes results.json,
/// results.csv and report.html.
#[derive(Parser)]
#[command(name = "larder-bench", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// The servers: own = started here and stopped at the end; running = those of `make up`.
    #[arg(long, global = true, value_enum, default_value = "own")]
    stack: StackChoice,
    /// Where results go [default: target/larder-bench/<time>-<command>]
    #[arg(long, global = true)]
    out: Option<PathBuf>,
    /// Also print results.json to standard output.
    #[arg(long, global = true)]
    json: bool,
    /// The catalog-api program to measure [default: the one beside this program]
    #[arg(long, global = true)]
    api: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that `make bench` shows: curves, ratios, and recorded sequences.
    All {
        /// About three minutes instead of fifteen, with wider intervals.
        #[arg(long)]
        quick: bool,
        /// The folder with traces/ and online-retail/; what is not there is left out.
        #[arg(long, env = "LARDER_DATA", default_value = "../shared/data")]
        data: PathBuf,
    },
    /// The curves and ratios of a scenario.
    Run {
        /// See crates/bench/scenarios/product-page.toml, where every key is explained.
        scenario: PathBuf,
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
    /// Whether write-behind loses nothing: processes and servers are killed under a load of writes,
    /// and the clients' own records are compared with Postgres.
    Chaos(ChaosArgs),
    /// Makes report.html anew from results.json.
    Report {
        /// A folder of results.
        results: PathBuf,
    },
}

#[derive(Args)]
struct StrategyArgs {
    /// none, cache-aside, read-through, write-through, write-behind, refresh-ahead or ttl.
    #[arg(long, default_value = "cache-aside")]
    strategy: String,
    /// none, l1, l2 or l1+l2 [default: l2, or none for the strategy none]
    #[arg(long)]
    tiers: Option<String>,
    /// Life of an entry in milliseconds; 0: unbounded.
    #[arg(long, default_value_t = 0)]
    ttl_ms: u64,
}

impl StrategyArgs {
    fn contender(self) -> Contender {
        let usual = if self.strategy == "none" { "none" } else { "l2" };
        let tiers = self.tiers.unwrap_or_else(|| usual.to_owned());
        let l1_ttl_ms = Contender::none().l1_ttl_ms;
        Contender { strategy: self.strategy, tiers, ttl_ms: self.ttl_ms, l1_ttl_ms }
    }
}

impl Command {
    const fn name(&self) -> &'static str {
        match self {
            Self::All { .. } => "all",
            Self::Run { .. } => "run",
            Self::Replay { .. } => "replay",
            Self::OnlineRetail { .. } => "online-retail",
            Self::Stock { .. } => "stock",
            Self::Verify(_) => "verify",
            Self::Chaos(_) => "chaos",
            Self::Report { .. } => "report",
        }
    }
}

/// What a command needs, read before any server is started.
enum Plan {
    Compare(Scenario),
    Replay(Replay, DataSet),
    Retail(Retail),
    Stock(Stock),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    if let Command::Report { results } = &command {
        return finish(again(results).map(|()| true));
    }
    if let Command::Verify(args) = &command {
        return finish(verify(common, args).await);
    }
    if let Command::Chaos(args) = &command {
        return finish(chaos(common, args).await);
    }
    let name = command.name();
    match plan(command) {
        Ok(plans) => finish(carry_out(common, name, plans).await),
        Err(error) => {
            eprintln!("larder-bench: {error:#}");
            ExitCode::from(EX_USAGE)
        }
    }
}

fn finish(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("larder-bench: something does not hold that must: see the report");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("larder-bench: {error:#}");
            ExitCode::from(EX_SOFTWARE)
        }
    }
}

/// Makes the report of earlier results anew.
fn again(folder: &Path) -> Result<()> {
    report::write(&Results::read(folder)?, folder)?;
    println!("{}", folder.join("report.html").display());
    Ok(())
}

fn plan(command: Command) -> Result<Vec<Plan>> {
    let absolute =
        |path: &Path| std::fs::canonicalize(path).with_context(|| path.display().to_string());
    Ok(match command {
        Command::All { quick, data } => everything(quick, &data)?,
        Command::Run { scenario } => vec![Plan::Compare(Scenario::read(&scenario)?)],
        Command::Replay { trace, format, strategy, connections, limit, products, reviews } => {
            let replay = Replay {
                trace: absolute(&trace)?,
                format,
                limit,
                connections: connections.into(),
                contender: strategy.contender(),
            };
            vec![Plan::Replay(replay, DataSet { products, reviews })]
        }
        Command::OnlineRetail { folder, strategy, looks, limit } => {
            let contenders = vec![strategy.contender()];
            let folder = absolute(&folder)?;
            vec![Plan::Retail(Retail { folder, limit, looks: looks.into(), contenders })]
        }
        Command::Stock { folder, strategies, in_flight, limit } => {
            let of = |strategy| StrategyArgs { strategy, tiers: None, ttl_ms: 0 }.contender();
            let contenders = strategies.into_iter().map(of).collect();
            let folder = absolute(&folder)?;
            vec![Plan::Stock(Stock { folder, limit, in_flight: in_flight.into(), contenders })]
        }
        Command::Report { .. } | Command::Verify(_) | Command::Chaos(_) => {
            bail!("this needs no plan")
        }
    })
}

fn everything(quick: bool, data: &Path) -> Result<Vec<Plan>> {
    let scenario = Scenario::product_page();
    let data_set = scenario.data;
    let mut plans = vec![Plan::Compare(if quick { scenario.quick() } else { scenario })];
    let trace = data.join("traces/web07.trace.xz");
    if trace.exists() {
        // One at a time is exact; many at a time is how it would be; without a cache is what
        // there is to save.
        let ways = [
            (Contender::cache_aside(), 1),
            (Contender::cache_aside(), 32),
            (Contender::none(), 32),
        ];
        for (contender, connections) in ways {
            let limit = if quick && contender.tiers == "none" { 10_000 } else { 0 };
            let (trace, format) = (std::fs::canonicalize(&trace)?, Format::Cache2k);
            plans.push(Plan::Replay(
                Replay { trace, format, limit, connections, contender },
                data_set,
            ));
        }
    } else {
        eprintln!("Left out: {} is not there (--data DIR)", trace.display());
    }
    let folder = data.join("online-retail");
    if folder.exists() {
        for looks in [1, 10] {
            let limit = match (quick, looks) {
                (true, _) => 1_000,
                (false, 1) => 20_000,
                (false, _) => 10_000,
            };
            let contenders = vec![Contender::none(), Contender::cache_aside()];
            let folder = std::fs::canonicalize(&folder)?;
            plans.push(Plan::Retail(Retail { folder, limit, looks, contenders }));
        }
    } else {
        eprintln!("Left out: {} is not there (--data DIR)", folder.display());
    }
    Ok(plans)
}

fn command_line() -> String {
    std::env::args().collect::<Vec<_>>().join(" ")
}

impl Common {
    async fn bed(&self) -> Result<Bed> {
        let api = match &self.api {
            Some(api) => std::fs::canonicalize(api).with_context(|| api.display().to_string())?,
            None => api_beside_us()?,
        };
        Bed::prepare(self.stack, api).await
    }

    fn folder(&self, name: &str, started_at: Timestamp) -> PathBuf {
        let usual =
            || target_dir().join(format!("{}-{name}", started_at.strftime("%Y%m%d-%H%M%S")));
        self.out.clone().unwrap_or_else(usual)
    }
}

/// An interrupt ends the work, not the cleaning up after it.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
}

/// Whether readers see what they must.
async fn verify(common: Common, args: &VerifyArgs) -> Result<bool> {
    let mut bed = common.bed().await?;
    let ended = interruptible(Box::pin(verify::verify(&mut bed, args, command_line()))).await;
    bed.stop().await;
    let found = ended?;
    let folder = common.folder("verify", found.started_at);
    verify::write(&found, &folder)?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", verify::text(&found));
        println!("\n{}", folder.join("verify.html").display());
    }
    Ok(found.holds)
}

/// Whether nothing is lost that must not be.
async fn chaos(common: Common, args: &ChaosArgs) -> Result<bool> {
    let bed = common.bed().await?;
    let ended = interruptible(Box::pin(chaos::chaos(&bed, args, command_line()))).await;
    bed.stop().await;
    let found = ended?;
    let folder = common.folder("chaos", found.started_at);
    chaos::write(&found, &folder)?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", chaos::text(&found));
        println!("\n{}", folder.join("results.json").display());
    }
    Ok(found.holds)
}

/// Whether all holds that must.
async fn carry_out(common: Common, name: &str, plans: Vec<Plan>) -> Result<bool> {
    let bed = common.bed().await?;
    let command = command_line();
    let mut session = match Session::begin(bed, command).await {
        Ok(session) => session,
        Err((bed, error)) => {
            bed.stop().await;
            return Err(error);
        }
    };
    let ended = interruptible(Box::pin(measure(&mut session, plans))).await;
    session.bed.stop().await;
    ended?;

    let results = session.results();
    let folder = common.folder(name, results.started_at);
    results.write(&folder)?;
    report::write(results, &folder)?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(results)?);
    } else {
        println!("{}", folder.join("report.html").display());
    }
    Ok(results.checks.iter().all(|check| check.holds))
}

async fn measure(session: &mut Session, plans: Vec<Plan>) -> Result<()> {
    for plan in plans {
        match plan {
            Plan::Compare(scenario) => {
                session.catalogue(scenario.data, 1).await?;
                commands::curve(session, &scenario).await?;
                commands::ratios(session, &scenario).await?;
            }
            Plan::Replay(replay, data) => {
                let trace = replay.read()?;
                session.catalogue(data, trace.distinct).await?;
                commands::replay(session, &replay, &trace).await?;
            }
            Plan::Retail(retail) => commands::online_retail(session, &retail).await?,
            Plan::Stock(stock) => commands::stock(session, &stock).await?,
        }
    }
    Ok(())
}
