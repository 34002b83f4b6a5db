//! What `advise` foretells for each step from a log of the first.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::scenario::{Guide, Settings, number, ttl, word};
use crate::load::Sent;
use crate::measure::Dependents;
use crate::scenario::ReadView;
use crate::simulate::{BETA, Behaviour, Demand, JITTER, OnWrite, Refresh};
use crate::trace::{Format, Recording};

/// Where the draws of reloads ahead begin.
const SEED: u64 = 7;

/// What is foretold for a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// The step's name.
    pub step: String,
    /// Loads, the first of each product included.
    pub loads: u64,
}

/// Writes `sent` as a log that `larder-bench advise` reads: reads with what they cost, and writes with all
/// pages that they change.
pub(super) fn record(sent: &[Sent], dependents: &Dependents, log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut sent: Vec<&Sent> = sent.iter().filter(|sent| sent.ok && sent.key != 0).collect();
    // A write counts from when it was answered: who asks after that must see it.
    let at_us = |sent: &Sent| if sent.write { sent.ended_us } else { sent.begun_us };
    sent.sort_by_key(|sent| at_us(sent));
    let first_us = sent.first().map_or(0, |sent| at_us(sent));
    let mut file = csv::Writer::from_path(log).with_context(|| log.display().to_string())?;
    file.write_record(["time", "key", "op", "cost"])?;
    for sent in sent {
        let time = format!("{:.6}", (at_us(sent) - first_us) as f64 / 1e6);
        if sent.write {
            let shown = dependents.get(&sent.key).map_or(&[][..], Vec::as_slice);
            for key in shown.iter().chain([&sent.key]) {
                file.write_record([&time, &ReadView::ProductPage.path(*key), "write", ""])?;
            }
        } else {
            let cost = format!("{:.3}", (sent.ended_us - sent.begun_us) as f64 / 1e3);
            file.write_record([&time, &ReadView::ProductPage.path(sent.key), "read", &cost])?;
        }
    }
    Ok(file.flush()?)
}

/// The loads of each step with the sequence in `log`, as `larder-bench advise` reckons them.
pub(super) fn foretell(guide: &Guide, log: &Path) -> Result<Vec<Foretold>> {
    let recording = Recording::read(log, Format::Csv, 0.0)?;
    let cost = |key: u32| recording.cost_ms.get(key as usize).copied().flatten().unwrap_or(0.0);
    let settings = guide.settings();
    let all = guide.steps.iter().zip(&settings).map(|(step, settings)| {
        let demand = Demand::of(&recording.accesses, behaviour(settings), cost);
        let loads = demand.loads + demand.background_loads + demand.publishing_loads;
        Foretold { step: step.name.clone(), loads }
    });
    Ok(all.collect())
}

fn behaviour(settings: &Settings) -> Behaviour {
    let strategy = word(settings, "strategy");
    let on_write = match strategy {
        "none" => return Behaviour::none(),
        "write-through" => OnWrite::Publish,
        "ttl" => OnWrite::Ignore,
        _ => OnWrite::Invalidate,
    };
    let beta = number(settings, "refresh_beta", BETA);
    Behaviour {
        jitter: number(settings, "jitter", JITTER),
        refresh: (strategy == "refresh-ahead").then_some(Refresh { beta, seed: SEED }),
        ..Behaviour::caching(on_write, Some(ttl(settings)))
    }
}
