//! The table of `docs/benchmarks.md`, out of what Criterion measured.

mod measured;
mod table;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};

pub use self::measured::{Measured, measured};
pub use self::table::table;
use crate::machine::Machine;

/// The text of `template` with its placeholders, each on a line of its own, filled in:
/// `{{measured}}` is when and where `rows` were measured, `{{table GROUP | BASE}}` the rows of one
/// group with their ratios to the row BASE of the same run.
///
/// # Errors
///
/// When a group or a base was not measured, a measured group has no table, or a placeholder is
/// unknown: names it.
pub fn page(template: &str, rows: &[Measured], machine: &Machine, date: &str) -> Result<String> {
    let mut shown = BTreeSet::new();
    let mut page = String::new();
    for (number, line) in (1..).zip(template.lines()) {
        let placeholder = line.strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let filled = match placeholder {
            None => line.to_owned(),
            Some("measured") => measured_on(machine, date),
            Some(placeholder) => {
                let wanted = placeholder.strip_prefix("table ");
                let wanted = wanted.and_then(|wanted| wanted.split_once(" | "));
                let Some((group, base)) = wanted else {
                    bail!("template, line {number}: {{{{{placeholder}}}}} is no placeholder");
                };
                shown.insert(group);
                table(rows, group, base).with_context(|| format!("template, line {number}"))?
            }
        };
        page.push_str(filled.trim_end());
        page.push('\n');
    }
    for row in rows {
        ensure!(
            shown.contains(row.group.as_str()),
            "the group {:?} was measured, and the template has no table for it",
            row.group
        );
    }
    Ok(page)
}

fn measured_on(machine: &Machine, date: &str) -> String {
    let Machine { cpu, cores, system, rust, commit } = machine;
    format!(
        "| | |\n| --- | --- |\n\
         | date | {date} |\n| processor | {cpu}, {cores} cores |\n| system | {system} |\n\
         | compiler | {rust} |\n| commit | {commit} |"
    )
}
