//! `larder-bench`: strategies side by side, by queries, latency and throughput.

mod cli;
mod plan;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Parser;
use jiff::Timestamp;
use larder_bench::advise::{self, AdviseArgs};
use larder_bench::bed::{Bed, StackChoice, api_beside_us, target_dir};
use larder_bench::chaos::{self, ChaosArgs};
use larder_bench::commands::{self, Session};
use larder_bench::compare::Comparison;
use larder_bench::guide::{self, Guide, GuideArgs};
use larder_bench::report;
use larder_bench::results::{BadResults, Results};
use larder_bench::scenario::ScenarioError;
use larder_bench::trace::BadData;
use larder_bench::verify::{self, VerifyArgs};

use self::cli::{Cli, Command, Common};
use self::plan::{Plan, plan};

/// Exit codes of sysexits.h: how it was called, what it was given, and all else.
const EX_USAGE: u8 = 64;
const EX_DATAERR: u8 = 65;
const EX_SOFTWARE: u8 = 70;

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { common, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to clap; what they print is what was asked for.
            let wrong = error.use_stderr();
            let _ = error.print();
            return if wrong { ExitCode::from(EX_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match &command {
        Command::Report { results } => return again(results),
        Command::Compare { before, after, threshold } => {
            return compare(&common, before, after, *threshold);
        }
        Command::Advise(args) => return advise(&common, args),
        Command::Verify(args) => return finish(verify(common, args).await),
        Command::Chaos(args) => return finish(chaos(common, args).await),
        Command::Guide(args) => return guide(common, args).await,
        _ => {}
    }
    let name = command.name();
    let db_latency = match &command {
        Command::Run { db_latency, .. } => *db_latency,
        _ => None,
    };
    match plan(command, common.stack) {
        Ok(plans) => finish(carry_out(common, name, plans, db_latency).await),
        Err(error) => refuse(&error, EX_USAGE),
    }
}

/// Tells of `error`; input that was found and cannot be used has a code of its own.
fn refuse(error: &anyhow::Error, code: u8) -> ExitCode {
    eprintln!("larder-bench: {error:#}");
    let data = error.is::<BadData>() || error.is::<ScenarioError>() || error.is::<BadResults>();
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
        Err(error) => return refuse(&error, EX_USAGE),
    };
    let folder = Results::folder(path);
    finish(report::write(&results, folder).map(|()| {
        println!("{}", folder.join("report.html").display());
        true
    }))
}

fn compare(common: &Common, before: &Path, after: &Path, threshold: f64) -> ExitCode {
    let read = || anyhow::Ok((Results::read(before)?, Results::read(after)?));
    let (before, after) = match read() {
        Ok(both) => both,
        Err(error) => return refuse(&error, EX_USAGE),
    };
    let compared = match Comparison::of(&before, &after, threshold) {
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
    if compared.regressions() + compared.vanished == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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

    /// The servers, and what they are.
    async fn session(&self) -> Result<Session> {
        match Session::begin(self.bed().await?, command_line()).await {
            Ok(session) => Ok(session),
            Err((bed, error)) => {
                bed.stop().await;
                Err(error)
            }
        }
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

/// An interrupt ends the work, not the cleaning up after it.
async fn interruptible<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        ended = work => ended,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
    }
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

/// The step-by-step guide.
async fn guide(common: Common, args: &GuideArgs) -> ExitCode {
    let earlier =
        Guide::read(&args.scenario).and_then(|guide| Ok((guide, guide::earlier(&args.document)?)));
    let (guide, earlier) = match earlier {
        Ok(read) => read,
        Err(error) => return refuse(&error, EX_USAGE),
    };
    finish(guided(common, args, &guide, earlier).await)
}

async fn guided(
    common: Common,
    args: &GuideArgs,
    guide: &Guide,
    earlier: Option<guide::Measured>,
) -> Result<bool> {
    let measured = match (args.render, earlier) {
        (true, Some(earlier)) => earlier,
        (true, None) => bail!("there are no figures yet: leave --render out"),
        (false, earlier) => {
            let folder = common.out.clone().unwrap_or_else(|| target_dir().join("guide"));
            let log = folder.join("requests.csv");
            let mut session = common.session().await?;
            let steps = args.steps.as_ref();
            let work = Box::pin(guide::measure(&mut session, guide, steps, earlier, &log));
            let ended = interruptible(work).await;
            session.bed.stop().await;
            ended?
        }
    };
    if !guide::write(guide, &measured, &args.document)? {
        eprintln!("The document is written when all steps have been measured as they are now.");
        println!("{}", guide::figures_of(&args.document).display());
        return Ok(true);
    }
    println!("{}", args.document.display());
    Ok(true)
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
    let ended = interruptible(Box::pin(measure(&mut session, plans))).await;
    session.bed.stop().await;
    if let Err(error) = &ended {
        if session.results().is_empty() {
            return ended.map(|()| false);
        }
        session.broken_off(format!("{error:#}"));
    }

    let results = session.results();
    let folder = common.folder(name, results.started_at);
    results.write(&folder)?;
    report::write(results, &folder)?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(results)?);
    } else {
        println!("{}", folder.join("report.html").display());
    }
    ended.with_context(|| format!("broken off; what was measured is in {}", folder.display()))?;
    Ok(results.checks.iter().all(|check| check.holds))
}

async fn measure(session: &mut Session, plans: Vec<Plan>) -> Result<()> {
    for plan in plans {
        match plan {
            Plan::Compare { scenario, file, parts, loops } => {
                session.catalogue(scenario.data, scenario.least_products()).await?;
                if let Some(selection) = &parts.matrix {
                    commands::matrix(session, &scenario, &file, selection).await?;
                }
                if let Some(choice) = &parts.curve {
                    commands::curve(session, &scenario, &file, choice).await?;
                }
                if parts.ratios {
                    commands::ratios(session, &scenario, &file).await?;
                }
                if loops {
                    commands::loops(session, &scenario).await?;
                }
            }
            Plan::Replay(replay, trace) => {
                session.catalogue(replay.data, trace.distinct).await?;
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
