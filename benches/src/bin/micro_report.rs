//! Writes docs/benchmarks.md out of what Criterion measured.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use clap::Parser;
use jiff::Timestamp;
use larder_benches::machine::Machine;
use larder_benches::report::{measured, page, table};

/// The text around the tables.
const TEMPLATE: &str = include_str!("../../template.md");

/// Writes the table of micro-benchmarks out of what Criterion measured in one run.
#[derive(Parser)]
#[command(name = "micro-report")]
struct Arguments {
    /// Criterion's folder.
    #[arg(long, default_value = "target/criterion")]
    criterion: PathBuf,
    /// When the run began, in seconds since 1970: what was measured before is left out.
    #[arg(long, value_name = "SECONDS")]
    since: u64,
    /// The file to write. Without it, what was measured is printed, and no file is touched.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> Result<()> {
    let Arguments { criterion, since, out } = Arguments::parse();
    let rows = measured(&criterion, SystemTime::UNIX_EPOCH + Duration::from_secs(since))?;
    let Some(out) = out else {
        let groups: BTreeSet<&str> = rows.iter().map(|row| row.group.as_str()).collect();
        for group in groups {
            let first = rows.iter().find(|row| row.group == group).map(|row| row.name());
            println!("{}\n", table(&rows, group, &first.unwrap_or_default())?);
        }
        return Ok(());
    };
    if rows.is_empty() {
        bail!("{}: nothing was measured in this run", criterion.display());
    }
    let date = Timestamp::now().strftime("%Y-%m-%d").to_string();
    let page = page(TEMPLATE, &rows, &Machine::ask(), &date)?;
    std::fs::write(&out, page).with_context(|| format!("{} cannot be written", out.display()))?;
    println!("{} rows in {}", rows.len(), out.display());
    Ok(())
}
