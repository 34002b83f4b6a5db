//! The step-by-step guide: one workload, one setting after the other, and what each changed.
//!
//! [`Guide`] is a scenario file; [`measure`] runs its steps, and [`Measured`] is what they came to, as
//! it is kept beside the document. [`pages`] makes the document and its pictures out of both, so that
//! nothing in them can be older than either.

mod figures;
mod foretell;
mod outcome;
mod page;
mod picture;
mod scenario;
mod step;
mod traffic;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use jiff::Timestamp;

pub use figures::Watched;
pub use foretell::Foretold;
pub use outcome::{Measured, Phase, StepResult};
pub use page::pages;
pub use scenario::{Crowds, Guide, Run, Settings, Step, Traffic};

use self::step::measure_step;
use self::traffic::Ground;
use crate::commands::Session;
use crate::load::allow_connections;
use crate::trace::BadData;

/// What the guide is made from, and where it goes.
#[derive(Clone, Debug, Args)]
pub struct GuideArgs {
    /// The scenario: crates/bench/scenarios/step-by-step.toml explains every key.
    pub scenario: PathBuf,
    /// The document; its figures are kept beside it as .json, its pictures in images/.
    #[arg(long, default_value = "docs/step-by-step.md")]
    pub document: PathBuf,
    /// Only these steps, such as 2 or 3-5; the figures of all others stay as they were measured.
    #[arg(long, value_name = "N or N-M", value_parser = range)]
    pub steps: Option<RangeInclusive<usize>>,
    /// Measures nothing: makes the document anew from the figures beside it.
    #[arg(long, conflicts_with = "steps")]
    pub render: bool,
}

fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<usize>().ok().filter(|number| *number > 0);
    match (number(from), number(to)) {
        (Some(from), Some(to)) if from <= to => Ok(from..=to),
        _ => Err("must be a step's number from 1, or two: 3-5".to_owned()),
    }
}

/// Runs the selected steps of `guide` on the servers of `session`; the figures of the others are those
/// of `earlier`. The requests of the first step go to `log`, for `larder-bench advise`.
///
/// # Errors
///
/// When there is no such step, a process does not start, or the two counts of statements disagree.
pub async fn measure(
    session: &mut Session,
    guide: &Guide,
    steps: Option<&RangeInclusive<usize>>,
    earlier: Option<Measured>,
    log: &Path,
) -> Result<Measured> {
    let last = guide.steps.len();
    let steps = steps.cloned().unwrap_or(1..=last);
    ensure!(*steps.end() <= last, "--steps: the guide has {last} steps");
    let connections = guide.traffic.connections * guide.run.replicas as usize;
    allow_connections(connections).map_err(anyhow::Error::msg)?;
    session.catalogue(guide.data, 1).await?;
    let latency = Duration::from_secs_f64(guide.run.db_latency_ms / 1e3);
    session.bed.delay_database(latency).await?;
    let ground = Ground::of(session.bed.admin_url(), guide).await?;
    let results = session.results();
    let mut measured = Measured {
        measured_at: Timestamp::now(),
        machine: results.machine.clone(),
        data_set: results.data_set.clone(),
        steps: Vec::new(),
        foretold: earlier.as_ref().map_or_else(Vec::new, |earlier| earlier.foretold.clone()),
    };
    session.begin_work("step by step", steps.clone().count());
    for (number, (step, settings)) in (1..).zip(guide.steps.iter().zip(guide.settings())) {
        if !steps.contains(&number) {
            let kept = earlier.as_ref().and_then(|earlier| earlier.step(&step.name));
            measured.steps.extend(kept.cloned());
            continue;
        }
        session.working_on(&format!("{number}. {}", step.name));
        let (result, sequence) = measure_step(&session.bed, guide, &ground, step, settings).await?;
        session.done(&result.line());
        measured.steps.push(result);
        if number == 1 {
            foretell::record(&sequence, &ground.dependents, log)?;
            measured.foretold = foretell::foretell(guide, log)?;
        }
    }
    session.end_work();
    Ok(measured)
}

/// The figures that are kept beside `document`, if there are any.
///
/// # Errors
///
/// [`BadData`] when they cannot be read.
pub fn earlier(document: &Path) -> Result<Option<Measured>> {
    let file = figures_of(document);
    let text = match std::fs::read(&file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        read => read.with_context(|| file.display().to_string())?,
    };
    let measured = serde_json::from_slice(&text).map_err(|error| {
        let file = file.display();
        BadData::new(format!("{file}:{}: not a guide's figures: {error}; delete it", error.line()))
    })?;
    Ok(Some(measured))
}

/// Where the figures of `document` are kept.
#[must_use]
pub fn figures_of(document: &Path) -> PathBuf {
    document.with_extension("json")
}

/// Writes `measured` beside `document`, and the document where all steps of `guide` have been measured.
/// Whether they have.
///
/// # Errors
///
/// When a file cannot be written.
pub fn write(guide: &Guide, measured: &Measured, document: &Path) -> Result<bool> {
    let write = |file: &Path, text: String| {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(file, text).with_context(|| file.display().to_string())
    };
    let figures = serde_json::to_string_pretty(measured)? + "\n";
    write(&figures_of(document), figures)?;
    let Some(pages) = pages(guide, measured) else { return Ok(false) };
    let folder = document.parent().unwrap_or(Path::new("."));
    write(document, pages.text)?;
    for (name, picture) in pages.pictures {
        write(&folder.join(name), picture)?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
