//! What a command is to do, with all its input read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use larder_bench::bed::StackChoice;
use larder_bench::commands::{Predict, Replay, Retail, Selection, Stock};
use larder_bench::scenario::{Contender, DataSet, Scenario, USUAL_DATA};
use larder_bench::trace::{Format, Trace};

use crate::cli::{Command, StrategyArgs};

/// Life of an entry while stock is written, under strategies that need one to be set.
const STOCK_TTL_MS: u64 = 60_000;

/// What `all` takes of the recorded inputs.
const TRACE: &str = "traces/web07.trace.xz";
const RETAIL: &str = "online-retail";

/// What a command needs, read before any server is started.
pub(crate) enum Plan {
    Compare { scenario: Box<Scenario>, file: String, selection: Selection, loops: bool },
    Replay(Replay, Trace, DataSet),
    Retail(Retail),
    Stock(Stock),
    Predict(Predict, Trace),
}

/// Reads what `command` needs.
pub(crate) fn plan(command: Command, stack: StackChoice) -> Result<Vec<Plan>> {
    let absolute =
        |path: &Path| std::fs::canonicalize(path).with_context(|| path.display().to_string());
    Ok(match command {
        Command::All { quick, data } => everything(quick, data.as_deref())?,
        Command::Run { scenario: file, selection, compare_loops: loops, .. } => {
            let scenario = Box::new(Scenario::read(&file)?);
            let file = file.display().to_string();
            selection.check(&scenario, &file, stack == StackChoice::Own)?;
            vec![Plan::Compare { scenario, file, selection, loops }]
        }
        Command::Replay { trace, format, strategy, connections, limit, products, reviews } => {
            let replay = Replay {
                trace: absolute(&trace)?,
                format,
                limit,
                connections: connections.into(),
                contender: strategy.contender()?,
            };
            // Read now: what is wrong with it is said before any server starts.
            let trace = replay.read()?;
            vec![Plan::Replay(replay, trace, DataSet { products, reviews })]
        }
        Command::OnlineRetail { folder, strategy, looks, limit } => {
            let contenders = vec![strategy.contender()?];
            let folder = retail(&folder)?;
            vec![Plan::Retail(Retail { folder, limit, looks: looks.into(), contenders })]
        }
        Command::Stock { folder, strategies, in_flight, limit } => {
            let of = |strategy: String| {
                let needs_ttl = ["refresh-ahead", "ttl"].contains(&strategy.as_str());
                let ttl_ms = if needs_ttl { STOCK_TTL_MS } else { 0 };
                StrategyArgs { strategy, tiers: None, ttl_ms }.contender()
            };
            let contenders = strategies.into_iter().map(of).collect::<Result<_>>()?;
            let folder = retail(&folder)?;
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
        | Command::Chaos(_)
        | Command::Guide(_)
        | Command::Advise(_)
        | Command::Compare { .. } => {
            bail!("this needs no plan")
        }
    })
}

/// The Online Retail data set's folder, with the files that are read of it.
fn retail(folder: &Path) -> Result<PathBuf> {
    let has = |name: &str| folder.join(name).is_file();
    ensure!(
        has("products.csv") && (has("order-lines.csv.xz") || has("order-lines.csv")),
        "{}: must hold products.csv, and order-lines.csv.xz or order-lines.csv",
        folder.display()
    );
    std::fs::canonicalize(folder).with_context(|| folder.display().to_string())
}

fn everything(quick: bool, named: Option<&Path>) -> Result<Vec<Plan>> {
    if let Some(folder) = named {
        let inputs = [TRACE, RETAIL].map(|input| folder.join(input));
        ensure!(
            inputs.iter().any(|input| input.exists()),
            "{} (--data, or LARDER_DATA) has neither {TRACE} nor {RETAIL}: README.md says where recorded \
             inputs come from",
            folder.display()
        );
    }
    let data = named.unwrap_or_else(|| Path::new(USUAL_DATA));
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
    let trace = data.join(TRACE);
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
    let folder = data.join(RETAIL);
    if folder.exists() {
        for looks in [1, 10] {
            let limit = match (quick, looks) {
                (true, _) => 1_000,
                (false, 1) => 20_000,
                (false, _) => 10_000,
            };
            let contenders = vec![Contender::none(), Contender::cache_aside()];
            let folder = retail(&folder)?;
            plans.push(Plan::Retail(Retail { folder, limit, looks, contenders }));
        }
    } else {
        eprintln!("Left out: {} is not there (--data DIR)", folder.display());
    }
    Ok(plans)
}
