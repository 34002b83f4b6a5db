//! What a command is to do, with all its input read.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use larder_bench::bed::StackChoice;
use larder_bench::commands::{CurveChoice, Part, Predict, Replay, Retail, Selection, Stock};
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
    Compare { scenario: Box<Scenario>, file: String, parts: Parts, loops: bool },
    Replay(Replay, Trace),
    Retail(Retail),
    Stock(Stock),
    Predict(Predict, Trace),
}

/// Which parts of a scenario are run, and what of them.
pub(crate) struct Parts {
    /// Of its matrix, if that is run.
    pub(crate) matrix: Option<Selection>,
    /// Of its curve, if that is.
    pub(crate) curve: Option<CurveChoice>,
    /// Whether its ratios are.
    pub(crate) ratios: bool,
}

impl Parts {
    /// All.
    fn all() -> Self {
        Self {
            matrix: Some(Selection::default()),
            curve: Some(CurveChoice::default()),
            ratios: true,
        }
    }

    /// Those that were asked for. `selection` chooses within the matrix, or, where the curve alone is asked
    /// for, within that.
    fn chosen(
        part: Option<Part>,
        selection: Selection,
        scenario: &Scenario,
        file: &str,
        own: bool,
    ) -> Result<Self> {
        if let Some(part) = part {
            part.check(scenario, file)?;
        }
        let is = |wanted: Part| part.is_none_or(|part| part == wanted);
        let curve = match part {
            Some(Part::Curve) => CurveChoice::of(&selection, scenario, file)?,
            _ => CurveChoice::default(),
        };
        if is(Part::Matrix) {
            selection.check(scenario, file, own)?;
        }
        let chooses = selection != Selection::default();
        ensure!(
            part != Some(Part::Ratios) || !chooses,
            "{file}: --only, --processes, --at, --workload, --repeats and --repeat choose within the matrix \
             or a curve: ratios are run whole"
        );
        ensure!(
            !chooses || part.is_some() || scenario.matrix.is_some(),
            "{file}: there is no [matrix] to choose from with --only, --processes, --at, --workload, \
             --repeats or --repeat: add --part curve to choose from the curve"
        );
        // Who chooses within the matrix wants nothing else.
        let others = part.is_some() || !chooses;
        Ok(Self {
            matrix: is(Part::Matrix).then_some(selection),
            curve: (is(Part::Curve) && others).then_some(curve),
            ratios: is(Part::Ratios) && others,
        })
    }
}

/// Reads what `command` needs.
pub(crate) fn plan(command: Command, stack: StackChoice) -> Result<Vec<Plan>> {
    let absolute =
        |path: &Path| std::fs::canonicalize(path).with_context(|| path.display().to_string());
    Ok(match command {
        Command::All { quick, data } => everything(quick, data.as_deref())?,
        Command::Run { scenario: file, part, selection, compare_loops: loops, .. } => {
            let scenario = Box::new(Scenario::read(&file)?);
            let file = file.display().to_string();
            let own = stack == StackChoice::Own;
            let parts = Parts::chosen(part, selection, &scenario, &file, own)?;
            vec![Plan::Compare { scenario, file, parts, loops }]
        }
        Command::Replay { trace, format, strategy, connections, limit, products, reviews } => {
            let replay = Replay {
                trace: absolute(&trace)?,
                format,
                limit,
                connections: connections.into(),
                contender: strategy.contender()?,
                data: DataSet { products, reviews },
            };
            // Read now: what is wrong with it is said before any server starts.
            let trace = replay.read()?;
            vec![Plan::Replay(replay, trace)]
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
            let predict = Predict { trace, format, limit, sizes, evictions: eviction };
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
        Plan::Compare { scenario, file, parts: Parts::all(), loops }
    };
    let strategies = Scenario::strategies(quick);
    let page = Scenario::product_page(quick);
    let data_set = page.data;
    let (compared, curves) = if quick {
        ("quick.toml", "product-page-quick.toml")
    } else {
        ("full.toml", "product-page.toml")
    };
    let mut plans = vec![built_in(strategies, compared, false), built_in(page, curves, true)];
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
            let replay = Replay { trace, format, limit, connections, contender, data: data_set };
            let trace = replay.read()?;
            plans.push(Plan::Replay(replay, trace));
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
