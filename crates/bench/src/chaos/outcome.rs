//! What was found: the names in these types are those in `results.json`.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::results::Machine;

/// Everything about one call.
#[derive(Clone, Debug, Serialize)]
pub struct Chaos {
    /// The command that made it.
    pub command: String,
    /// When it began.
    pub started_at: jiff::Timestamp,
    /// What it ran on.
    pub machine: Machine,
    /// What an acknowledged write rests on.
    pub mode: String,
    /// API processes.
    pub processes: u8,
    /// Whether all is as the mode promises.
    pub holds: bool,
    /// Each kind of fault.
    pub faults: Vec<Rounds>,
}

/// The rounds of one kind of fault.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rounds {
    /// What was broken.
    pub fault: String,
    /// How often.
    pub rounds: u32,
    /// How long the load went on.
    pub seconds: f64,
    /// Products that were written.
    pub products: usize,
    /// Writes that were acknowledged, …
    pub acknowledged: u64,
    /// … and of those, those with a position in the journal.
    pub journaled: u64,
    /// Writes of unknown outcome, …
    pub unknown: u64,
    /// … and of those, those that are there.
    pub unknown_arrived: u64,
    /// Writes that were refused.
    pub refused: u64,
    /// Reads that were checked.
    pub reads: u64,
    /// Acknowledged writes that are not there.
    pub lost: u64,
    /// Writes that are there more than once, or were refused and are there.
    pub twice: u64,
    /// Writes of one key that do not stand in their order.
    pub order: u64,
    /// Reads that did not show what was acknowledged or seen before.
    pub undone: u64,
    /// Writes that were not applied when the load was long over.
    pub left: u64,
    /// Writes that became dead letters, of this and all earlier kinds.
    pub dead_letters: u64,
    /// The longest time in which no write at all was acknowledged.
    pub longest_outage_ms: f64,
    /// The first of what is wrong.
    pub cases: Vec<String>,
}

impl Rounds {
    /// Whether nothing is wrong, and there was something that could have been.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        let wrong = self.lost + self.twice + self.order + self.undone;
        wrong + self.left + self.dead_letters == 0 && self.has_happened()
    }

    /// Whether writes were acknowledged, and reads made.
    #[must_use]
    pub const fn has_happened(&self) -> bool {
        self.acknowledged > 0 && self.reads > 0
    }
}

/// Writes `results.json` into `folder`.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(chaos: &Chaos, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let file = folder.join("results.json");
    let json = serde_json::to_vec_pretty(chaos)?;
    std::fs::write(&file, json).with_context(|| file.display().to_string())
}
