//! One HTML file for people: nothing in it is fetched from elsewhere.

pub(crate) mod chart;
mod tables;

use std::path::Path;

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::results::{Ratio, Results, Run};

pub(crate) const STYLE: &str = include_str!("style.css");

/// Writes `report.html` into `folder`.
///
/// # Errors
///
/// When it cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    let file = folder.join("report.html");
    std::fs::write(&file, page(results).into_string()).with_context(|| file.display().to_string())
}

/// A number of bytes for people.
pub(crate) fn megabytes(bytes: u64) -> String {
    let mib = bytes as f64 / (1_u64 << 20) as f64;
    if mib < 10.0 { format!("{mib:.2} MiB") } else { format!("{mib:.0} MiB") }
}

/// A part, from 0 to 1, for people.
pub(crate) fn percent(part: f64) -> String {
    format!("{:.1} %", 100.0 * part)
}

fn page(results: &Results) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Larder benchmark" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "Larder benchmark" }
                (summary(results))
                (checks(results))
                (curves(results))
                (tables::ratios(results))
                (tables::replays(results))
                (tables::runs(results))
                (origin(results))
                (conditions(results))
            }
        }
    }
}

fn summary(results: &Results) -> Markup {
    let by = |name: &str| results.ratios.iter().find(|ratio| ratio.name.starts_with(name));
    let times = |ratio: &Ratio| {
        let Ratio { ratio, .. } = ratio;
        format!("{:.2} (95 % interval {:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
    };
    html! {
        ul.summary {
            @if let Some(ratio) = by("cached page / no cache") {
                li { "A product page from Redis Cluster is served " strong { (times(ratio)) }
                     " times as often as one computed by Postgres." }
            }
            @if let Some(ratio) = by("cached page / static") {
                li { "It reaches " strong { (times(ratio)) }
                     " of the throughput of the same server sending a fixed body of the same length." }
            }
            @if let Some(ratio) = by("cached summary") {
                li { "The summary, one row by primary key, gains much less: "
                     strong { (times(ratio)) } " times." }
            }
            @if let Some(mean) = results.statement_mean_ms {
                li { "Uncached, the page's statement takes Postgres " strong { (format!("{mean:.2} ms")) }
                     " on average, one at a time." }
            }
            @for run in replays(results).filter(|run| run.tiers != "none") {
                li { (run.workload) ": " strong { (run.db_queries.loads) } " loads for "
                     (run.requests) " requests; no cache could do with fewer than "
                     (run.db_queries.floor.unwrap_or(0)) "." }
            }
        }
    }
}

fn checks(results: &Results) -> Markup {
    html! {
        @if !results.checks.is_empty() {
            h2 { "What must hold" }
            table {
                thead { tr { th {} th { "what" } th { "found" } } }
                tbody {
                    @for check in &results.checks {
                        tr.missed[!check.holds] {
                            td { @if check.holds { "holds" } @else { "DOES NOT HOLD" } }
                            td { (check.name) }
                            td { (check.found) }
                        }
                    }
                }
            }
        }
    }
}

fn curves(results: &Results) -> Markup {
    let open: Vec<&Run> = results.runs.iter().filter(|run| run.offered_rps.is_some()).collect();
    html! {
        @if !open.is_empty() {
            h2 { "Response time against throughput" }
            p { "Each point is an open loop: requests are sent when they are due, whether or not "
                "earlier ones have been answered, and timed from that moment. Where a curve turns "
                "upwards, the strategy can carry no more. Both axes are logarithmic." }
            (chart::curves(&open, "mean response time (ms)", |run| run.latency_ms.mean))
            (chart::curves(&open, "99th percentile (ms)", |run| run.latency_ms.p99))
            (tables::open_loops(&open))
        }
    }
}

fn origin(results: &Results) -> Markup {
    html! {
        h2 { "What is cached" }
        p { "The whole answer of " code { "GET /products/{id}" } ", which one statement computes:" }
        details { summary { "the statement" } pre { (results.statement) } }
    }
}

fn conditions(results: &Results) -> Markup {
    let machine = &results.machine;
    let gib = machine.memory_bytes as f64 / (1_u64 << 30) as f64;
    html! {
        h2 { "Where, and on what" }
        table.plain {
            tr { th { "machine" } td { (machine.cpu) ", " (machine.cores) " cores, "
                 (format!("{gib:.0} GiB")) ", Linux " (machine.kernel) } }
            tr { th { "software" } td { "larder " (machine.larder) ", " (machine.postgres) ", "
                 (machine.redis) } }
            tr { th { "data" } td { (results.data_set) } }
            tr { th { "command" } td { code { (results.command) } } }
            tr { th { "started" } td { (results.started_at) } }
        }
        p { "The load generator, the API, Postgres and every Redis node share this machine, and so "
            "its processors: ratios within one run mean more than absolute figures. Statements "
            "are counted twice, by the application at its one executor and by Postgres "
            "(" code { "pg_stat_statements" } ", for a role that nobody else uses); a run whose "
            "counts disagree is an error and is not reported. Staleness is measured by "
            code { "larder-bench verify" } "." }
    }
}

fn replays(results: &Results) -> impl Iterator<Item = &Run> {
    results.runs.iter().filter(|run| run.db_queries.floor.is_some())
}

#[cfg(test)]
mod tests;
