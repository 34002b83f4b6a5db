//! `larder-bench`: strategies side by side, by queries, latency and throughput.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use jiff::Timestamp;
use larder::Eviction;
use larder_bench::advise::{self, AdviseArgs};
use larder_bench::bed::{Bed, StackChoice, api_beside_us, target_dir};
use larder_bench::commands::{self, Predict, Replay, Retail, Selection, Session, Stock};
use larder_bench::compare::Comparison;
use larder_bench::report;
use larder_bench::results::Results;
use larder_bench::scenario::{Contender, DataSet, Scenario, ScenarioError};
use larder_bench::trace::{BadData, Format, Trace};
use larder_bench::verify::{self, VerifyArgs};

/// Exit codes of sysexits.h: how it was called, what it was given, and all else.
const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
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
    /// What a scenario file says: strategies × processes × workloads × loads, curves, ratios.
    Run {
        /// See crates/bench/scenarios: quick.toml and product-page.toml explain every key.
        scenario: PathBuf,
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
    /// Two results, figure by figure, with the interval of each difference. Ends with 1 when one
    /// is worse beyond the threshold and its whole interval, too.
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
            Self::Advise(_) => "advise",
            Self::Predict { .. } => "predict",
            Self::Verify(_) => "verify",
            Self::Compare { .. } => "compare",
            Self::Report { .. } => "report",
        }
    }
}

/// What a command needs, read before any server is started.
enum Plan {
    Compare { scenario: Box<Scenario>, file: String, selection: Selection, loops: bool },
    Replay(Replay, Trace, DataSet),
    Retail(Retail),
    Stock(Stock),
    Predict(Predict, Trace),
}

/// A part of the keys.
fn part_of_keys(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part <= 1.0);
    part.ok_or_else(|| "must be above 0, and 1 at most".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    match &command {
        Command::Report { results } => return again(results),
        Command::Compare { before, after, threshold } => {
            return compare(&common, before, after, *threshold);
        }
        Command::Advise(args) => return advise(&common, args),
        Command::Verify(args) => return finish(verify(common, args).await),
        _ => {}
    }
    let name = command.name();
    let db_latency = match &command {
        Command::Run { db_latency, .. } => *db_latency,
        _ => None,
    };
    match plan(command) {
        Ok(plans) => finish(carry_out(common, name, plans, db_latency).await),
        Err(error) => refuse(&error, EX_USAGE),
    }
}

/// Tells of `error`; input that was found and cannot be used has a code of its own.
fn refuse(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("larder-bench: {error:#}");
    let data = error.is::<BadData>() || error.is::<ScenarioError>();
    ExitCode::from(if data { EX_DATAERR } else { code })
}

fn finish(result: Result<bool>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("larder-bench: something does not hold that must: see the report");
            ExitCode::FAILURE
        }
        Err(error) if error.is::<NoServers>() => refuse(&error, EX_USAGE),
        Err(error) => refuse(&error, EX_SOFTWARE),
    }
}

/// Makes the report of earlier results anew.
fn again(path: &Path) -> ExitCode {
    let results = match Results::read(path) {
        Ok(results) => results,
        Err(error) => return refuse(&error, EX_DATAERR),
    };
    let folder = Results::folder(path);
    finish(report::write(&results, folder).map(|()| {
        println!("{}", folder.join("report.html").display());
        true
    }))
}

fn compare(common: &Common, before: &Path, after: &Path, threshold: f64) -> ExitCode {
    let read = || anyhow::Ok((Results::read(before)?, Results::read(after)?));
    let compared = read().and_then(|(before, after)| Comparison::of(&before, &after, threshold));
    let compared = match compared {
        Ok(compared) => compared,
        Err(error) => return refuse(&error, EX_DATAERR),
    };
    if common.json {
        match serde_json::to_string_pretty(&compared) {
            Ok(text) => println!("{text}"),
            Err(error) => return refuse(&error.into(), EX_SOFTWARE),
        }
    } else {
        print!("{}", compared.text());
    }
    if compared.regressions() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn plan(command: Command) -> Result<Vec<Plan>> {
    let absolute =
        |path: &Path| std::fs::canonicalize(path).with_context(|| path.display().to_string());
    Ok(match command {
        Command::All { quick, data } => everything(quick, &data)?,
        Command::Run { scenario: file, selection, compare_loops: loops, .. } => {
            let scenario = Box::new(Scenario::read(&file)?);
            vec![Plan::Compare { scenario, file: file.display().to_string(), selection, loops }]
        }
        Command::Replay { trace, format, strategy, connections, limit, products, reviews } => {
            let replay = Replay {
                trace: absolute(&trace)?,
                format,
                limit,
                connections: connections.into(),
                contender: strategy.contender(),
            };
            // Read now: what is wrong with it is said before any server starts.
            let trace = replay.read()?;
            vec![Plan::Replay(replay, trace, DataSet { products, reviews })]
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
        Command::Predict { trace, format, sizes, eviction, limit } => {
            let trace = absolute(&trace)?;
            let predict = Predict { trace, sizes, evictions: eviction };
            let trace = Trace::read(&predict.trace, format)?.limited(limit);
            vec![Plan::Predict(predict, trace)]
        }
        Command::Report { .. }
        | Command::Verify(_)
        | Command::Advise(_)
        | Command::Compare { .. } => {
            bail!("this needs no plan")
        }
    })
}

fn everything(quick: bool, data: &Path) -> Result<Vec<Plan>> {
    let built_in = |scenario: Scenario, name: &str, loops: bool| {
        let file = format!("crates/bench/scenarios/{name}");
        let scenario = Box::new(scenario);
        Plan::Compare { scenario, file, selection: Selection::default(), loops }
    };
    let strategies = Scenario::strategies(quick);
    let page = Scenario::product_page();
    let data_set = page.data;
    let page = if quick { page.quick() } else { page };
    let mut plans = vec![
        built_in(strategies, if quick { "quick.toml" } else { "full.toml" }, false),
        built_in(page, "product-page.toml", true),
    ];
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
            let replay = Replay { trace, format, limit, connections, contender };
            let trace = replay.read()?;
            plans.push(Plan::Replay(replay, trace, data_set));
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

/// There is nothing to measure on, and the message says what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NoServers(String);

impl Common {
    /// The servers.
    ///
    /// # Errors
    ///
    /// [`NoServers`] where servers were to run, and do not.
    async fn bed(&self) -> Result<Bed> {
        let api = match &self.api {
            Some(api) => std::fs::canonicalize(api).with_context(|| api.display().to_string())?,
            None => api_beside_us()?,
        };
        Bed::prepare(self.stack, api).await.map_err(|error| match self.stack {
            StackChoice::Running => NoServers(format!("{error:#}")).into(),
            StackChoice::Own => error,
        })
    }

    fn folder(&self, name: &str, started_at: Timestamp) -> PathBuf {
        let usual =
            || target_dir().join(format!("{}-{name}", started_at.strftime("%Y%m%d-%H%M%S")));
        self.out.clone().unwrap_or_else(usual)
    }
}

/// What caching would do for a log.
fn advise(common: &Common, args: &AdviseArgs) -> ExitCode {
    let (began, started_at) = (Instant::now(), Timestamp::now());
    let input = match advise::Input::read(args) {
        Ok(input) => input,
        Err(error) => return refuse(&error, EX_USAGE),
    };
    if let Some(warning) = input.recording.broken.warning(&args.log) {
        eprintln!("{warning}");
    }
    let advice = advise::analyse(&input, args, command_line(), began);
    let folder = common.folder("advise", started_at);
    finish(advise::write(&advice, &folder).and_then(|()| {
        if common.json {
            println!("{}", serde_json::to_string_pretty(&advice)?);
        } else {
            print!("{}", advise::text(&advice));
            println!("{}", folder.join("advise.html").display());
        }
        Ok(true)
    }))
}

/// Whether readers see what they must.
async fn verify(common: Common, args: &VerifyArgs) -> Result<bool> {
    let mut bed = common.bed().await?;
    // An interrupt ends the work, not the cleaning up.
    let ended = tokio::select! {
        ended = verify::verify(&mut bed, args, command_line()) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
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

/// Whether all holds that must.
async fn carry_out(
    common: Common,
    name: &str,
    plans: Vec<Plan>,
    db_latency: Option<f64>,
) -> Result<bool> {
    let mut bed = common.bed().await?;
    let command = command_line();
    if let Some(latency) = db_latency
        && let Err(error) = bed.delay_database(Duration::from_secs_f64(latency / 1e3)).await
    {
        bed.stop().await;
        return Err(error);
    }
    let mut session = match Session::begin(bed, command).await {
        Ok(session) => session,
        Err((bed, error)) => {
            bed.stop().await;
            return Err(error);
        }
    };
    // An interrupt ends the work, not the cleaning up.
    let ended = tokio::select! {
        ended = measure(&mut session, plans) => ended,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
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
            Plan::Compare { scenario, file, selection, loops } => {
                session.catalogue(scenario.data, 1).await?;
                commands::matrix(session, &scenario, &file, &selection).await?;
                commands::curve(session, &scenario).await?;
                commands::ratios(session, &scenario).await?;
                if loops {
                    commands::loops(session, &scenario).await?;
                }
            }
            Plan::Replay(replay, trace, data) => {
                session.catalogue(data, trace.distinct).await?;
                commands::replay(session, &replay, &trace).await?;
            }
            Plan::Retail(retail) => commands::online_retail(session, &retail).await?,
            Plan::Stock(stock) => commands::stock(session, &stock).await?,
            Plan::Predict(predict, trace) => {
                commands::predict(session, &predict, &trace).await?;
            }
        }
    }
    Ok(())
}
