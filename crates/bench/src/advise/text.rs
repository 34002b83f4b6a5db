//! What `advise` says on the terminal.

use std::fmt::Write as _;

use super::outcome::Advice;
use crate::report::{megabytes, percent};

/// The advice in short.
#[must_use]
pub fn text(advice: &Advice) -> String {
    let mut out = String::new();
    let traffic = &advice.traffic;
    let _ = writeln!(
        out,
        "{}: {} reads of {} keys, {} writes",
        advice.log, traffic.reads, traffic.keys, traffic.writes
    );
    let _ = writeln!(
        out,
        "A cache can answer {} at most; {} loads remain ({} first reads, {} after writes).",
        percent(advice.ceiling),
        advice.floor.loads(),
        advice.floor.compulsory,
        advice.floor.after_writes
    );
    let _ = writeln!(
        out,
        "\n{:<42} {:>10} {:>12} {:>8} {:>8} {:>10}",
        "strategy", "ttl", "queries", "saved", "stale", "queries/s"
    );
    for row in &advice.strategies {
        let ttl = row.ttl_ms.map_or(String::new(), |ttl| format!("{} s", ttl as f64 / 1e3));
        let _ = writeln!(
            out,
            "{:<42} {ttl:>10} {:>12} {:>8} {:>8} {:>10}",
            row.strategy,
            row.queries,
            percent(row.saved),
            row.demand.stale_answers,
            row.queries_per_s.map_or(String::new(), |rate| format!("{rate:.1}"))
        );
    }
    let mut sizes: Vec<u64> = advice.l1.rows.iter().map(|row| row.capacity_bytes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let _ = write!(out, "\n{:<12}", "L1 hit ratio");
    for size in &sizes {
        let _ = write!(out, " {:>10}", megabytes(*size));
    }
    let mut shown = "";
    for row in &advice.l1.rows {
        if row.eviction != shown {
            let _ = write!(out, "\n{:<12}", row.eviction);
            shown = &row.eviction;
        }
        let _ = write!(out, " {:>10.3}", row.hit_ratio.value);
    }
    if advice.l1.sample < 1.0 {
        let rows = &advice.l1.rows;
        let known: Vec<f64> = rows.iter().filter_map(|row| row.hit_ratio.error).collect();
        let most = known.iter().copied().fold(0.0, f64::max);
        let unknown = match rows.len() - known.len() {
            0 => String::new(),
            count => format!("; of {count} figures it is not known how far they are off"),
        };
        let _ = write!(
            out,
            "\n(of {} of the keys; off by at most {most:.3}, with 95 %{unknown})",
            percent(advice.l1.sample)
        );
    }
    let _ = writeln!(out, "\n");
    for assumed in &advice.assumptions {
        let _ = writeln!(out, "* {assumed}");
    }
    let _ = writeln!(out, "\n{}", advice.recommendation.toml);
    let peak = advice
        .peak_memory_bytes
        .map_or(String::new(), |peak| format!(", with {} of memory at most", megabytes(peak)));
    let _ = writeln!(out, "It took {:.1} s{peak}.", advice.took_s);
    out
}
