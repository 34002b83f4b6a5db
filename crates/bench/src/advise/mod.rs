//! `larder-bench advise`: what caching would do for the traffic of a log.
//!
//! Nothing is started and nothing is asked: the log is simulated. [`Traffic`](outcome::Traffic) is
//! what is in it; `analysis` finds what each strategy and each size of L1 would have done with
//! it; `recommend` chooses; the page and the text tell.

mod analysis;
mod args;
mod input;
pub mod outcome;
mod page;
mod recommend;
mod text;

use std::path::Path;

use anyhow::{Context, Result};

pub use analysis::analyse;
pub use args::AdviseArgs;
pub use input::Input;
pub use outcome::Advice;
pub use text::text;

/// Writes `advise.json`, `advise.html` and the recommended `larder.toml` into `folder`.
///
/// # Errors
///
/// When they cannot be written.
pub fn write(advice: &Advice, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let files = [
        ("advise.json", serde_json::to_string_pretty(advice)?),
        ("advise.html", page::page(advice).into_string()),
        ("larder.toml", advice.recommendation.toml.clone()),
    ];
    for (name, content) in files {
        let file = folder.join(name);
        std::fs::write(&file, content).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
