//! A run, for a terminal.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use super::check::Path;
use super::outcome::{Bucket, Distribution, Run, Verification};

/// The longest bar of the histogram.
const BAR: f64 = 32.0;
const PATHS: [Path; 3] = [Path::Api, Path::Sql, Path::OtherRegion];

/// Each run, and a table of all of them if there are several.
#[must_use]
pub fn text(verification: &Verification) -> String {
    let mut out = String::new();
    for run in &verification.runs {
        tell(run, &mut out).expect("writing to a String cannot fail");
    }
    if verification.runs.len() > 1 {
        table(&verification.runs, &mut out).expect("writing to a String cannot fail");
    }
    out
}

fn name(path: Path) -> &'static str {
    match path {
        Path::Api => "API",
        Path::Sql => "SQL",
        Path::OtherRegion => "other region",
    }
}

fn tell(run: &Run, out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n{} · {} in {} · {} processes, {} region(s) · {:.0} s",
        run.scenario, run.strategy, run.tiers, run.processes, run.regions, run.seconds
    )?;
    let (reads, latency) = (&run.reads, &run.latency_ms);
    writeln!(
        out,
        "  reads           {} ({:.0}/s offered): {} found, {} absent, errors {}; p50 {:.1} ms, \
         p99 {:.1} ms",
        reads.sent,
        run.offered_reads,
        reads.found,
        reads.absent,
        counts(&reads.errors),
        latency.p50,
        latency.p99,
    )?;
    let writes: Vec<String> = run
        .writes
        .iter()
        .map(|(operation, tally)| {
            let failed =
                if tally.failed > 0 { format!(" (-{})", tally.failed) } else { String::new() };
            format!("{} {}{failed}", label(operation), tally.done)
        })
        .collect();
    if !writes.is_empty() {
        writeln!(out, "  writes          {}", writes.join(", "))?;
    }
    writeln!(out, "  transactions    {}", run.transactions)?;
    writeln!(
        out,
        "\n  {:<34} {:>8} {:>9} {:>9} {:>9}",
        "milliseconds", "count", "p50", "p99", "max"
    )?;
    line(out, "staleness of all reads", &run.staleness_ms)?;
    for path in PATHS {
        if let Some(found) = run.stale_reads_ms.get(&path) {
            line(out, &format!("… of stale reads, missed: {}", name(path)), found)?;
        }
    }
    for path in PATHS {
        if let Some(found) = run.visibility_ms.get(&path) {
            line(out, &format!("until a write is seen: {}", name(path)), found)?;
        }
    }
    draw(&run.histogram, out)?;
    writeln!(out, "\n  went back       {} reads", run.went_back)?;
    let violations: Vec<String> =
        run.violations.iter().map(|(kind, n)| format!("{} {n}", label(kind))).collect();
    let violations = if violations.is_empty() { "none".to_owned() } else { violations.join(", ") };
    writeln!(out, "  violations      {violations}\n")?;
    for check in &run.checks {
        let holds = if check.holds { "holds" } else { "DOES NOT HOLD" };
        writeln!(out, "  {holds:<14}  {}: {}", check.name, check.found)?;
    }
    Ok(())
}

fn line(out: &mut String, what: &str, found: &Distribution) -> fmt::Result {
    let Distribution { count, p50, p99, max } = found;
    writeln!(out, "  {what:<34} {count:>8} {p50:>9.1} {p99:>9.1} {max:>9.1}")
}

/// The word that stands for a value in `verify.json`.
fn label(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}

fn counts(errors: &BTreeMap<u16, u64>) -> String {
    if errors.is_empty() {
        return "none".to_owned();
    }
    let each: Vec<String> = errors.iter().map(|(status, n)| format!("{status}: {n}")).collect();
    each.join(", ")
}

/// Bars are of the writes: nearly all reads are current.
fn draw(histogram: &[Bucket], out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n  {:>10} {:>9} {:>9} {:>9} {:>9}",
        "up to ms", "reads", "API", "SQL", "other r."
    )?;
    let of = |bucket: &Bucket| bucket.writes.values().sum::<usize>();
    let most = histogram.iter().map(of).max().unwrap_or(0).max(1);
    for bucket in histogram {
        let end = bucket.up_to_ms.map_or("more".to_owned(), |end| format!("{end:.0}"));
        let [api, sql, other] =
            PATHS.map(|path| bucket.writes.get(&path).copied().unwrap_or_default());
        let part = of(bucket) as f64 / most as f64;
        let bar = "#".repeat((part * BAR).ceil() as usize);
        writeln!(out, "  {end:>10} {:>9} {api:>9} {sql:>9} {other:>9} {bar}", bucket.reads)?;
    }
    Ok(())
}

fn table(runs: &[Run], out: &mut String) -> fmt::Result {
    writeln!(
        out,
        "\n{:<6} {:<14} {:<6} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}  holds",
        "", "strategy", "tiers", "reads", "violations", "API p99", "SQL p99", "other p99", "max ms"
    )?;
    for run in runs {
        let p99 = |path: Path| {
            run.visibility_ms
                .get(&path)
                .map_or("–".to_owned(), |found| format!("{:.1}", found.p99))
        };
        let [api, sql, other] = PATHS.map(p99);
        let max = run.visibility_ms.values().map(|found| found.max).fold(0.0, f64::max);
        writeln!(
            out,
            "{:<6} {:<14} {:<6} {:>8} {:>10} {api:>10} {sql:>10} {other:>10} {max:>10.1}  {}",
            run.scenario,
            run.strategy,
            run.tiers,
            run.reads.sent,
            run.violations.values().sum::<u64>(),
            if run.checks.iter().all(|check| check.holds) { "yes" } else { "NO" },
        )?;
    }
    Ok(())
}
