//! `verify.json` and `verify.html`.

use std::path::Path;

use anyhow::{Context, Result};
use maud::{Markup, html};

use super::cases::{Case, Told};
use super::outcome::Verification;
use super::text::text;
use crate::report::document;

/// Cases that the page shows; `verify.json` has more.
const SHOWN: usize = 50;

/// Writes `verify.json` and `verify.html` into `folder`.
///
/// # Errors
///
/// When they cannot be written.
pub fn write(verification: &Verification, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let files = [
        ("verify.json", serde_json::to_string_pretty(verification)?),
        ("verify.html", page(verification).into_string()),
    ];
    for (name, content) in files {
        let file = folder.join(name);
        std::fs::write(&file, content).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

fn page(verification: &Verification) -> Markup {
    let machine = &verification.machine;
    document(
        "Larder: what readers see",
        &html! {
            h1 { "What readers see: " @if verification.holds { "all holds" }
                 @else { "something does not hold" } }
            pre { (text(verification)) }
            @for run in &verification.runs {
                @if !run.cases.is_empty() {
                    h2 { "Wrong reads under " (run.strategy) }
                    @for case in run.cases.iter().take(SHOWN) { (told(case)) }
                }
            }
            h2 { "Where" }
            p { (machine.cpu) ", " (machine.cores) " cores, Linux " (machine.kernel) "; "
                (machine.postgres) ", " (machine.redis) ", larder " (machine.larder) "; "
                code { (verification.command) } ", " (verification.started_at) }
        },
    )
}

fn told(case: &Case) -> Markup {
    let read = |told: &Told| {
        format!(
            "{:.1}–{:.1} ms, process {}: {:?}",
            told.began_ms, told.ended_ms, told.read.process, told.read.answer
        )
    };
    html! {
        details {
            summary { (format!("{:?}: {:?} = {}, {:.1} ms old", case.kind, case.subject, case.value,
                               case.staleness_ms)) }
            p { "The read: " code { (read(&case.read)) } }
            p { "What was committed around it:" }
            ul { @for step in &case.steps_around {
                li { (format!("{:?} ms: {} by {:?}", step.committed_ms, step.value, step.writer)) }
            } }
            p { "Reads of the same key around it:" }
            ul { @for other in &case.reads_around { li { (read(other)) } } }
        }
    }
}
