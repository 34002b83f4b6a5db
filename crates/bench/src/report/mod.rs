//! One HTML file for people, of which nothing is fetched from elsewhere, and the same as Markdown.

mod bars;
pub(crate) mod chart;
mod costs;
mod events;
mod markdown;
mod matrix;
mod tables;
mod verdict;

use std::path::Path;

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::chart::Point;
use crate::results::{Ratio, Results, Run};

pub(crate) const STYLE: &str = include_str!("style.css");

/// Writes `report.html` and `report.md` into `folder`.
///
/// # Errors
///
/// When they cannot be written.
pub fn write(results: &Results, folder: &Path) -> Result<()> {
    let write = |name: &str, text: String| {
        let file = folder.join(name);
        std::fs::write(&file, text).with_context(|| file.display().to_string())
    };
    write("report.html", page(results).into_string())?;
    write("report.md", markdown::page(results))
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
                (verdict::screen(results))
                (summary(results))
                (matrix::sections(results))
                (costs::table(results))
                (curves(results))
                (loops(results))
                (tables::ratios(results))
                (tables::replays(results))
                (tables::runs(results))
                (tables::repeats(results))
                (checks(results))
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
        let sure = ratio.confidence();
        format!("{:.2} ({sure} interval {:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
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
    let open: Vec<&Run> =
        results.runs.iter().filter(|run| run.offered_rps.is_some() && run.repeat == 0).collect();
    let points = |value: fn(&Run) -> f64| -> Vec<Point> {
        open.iter()
            .map(|run| Point {
                series: run.strategy.clone(),
                x: run.achieved_rps,
                y: value(run),
                order: run.offered_rps.unwrap_or(run.achieved_rps),
            })
            .collect()
    };
    html! {
        @if !open.is_empty() {
            h2 { "Response time against throughput, up to saturation" }
            p { "Each point is an open loop: requests are sent when they are due, whether or not "
                "earlier ones have been answered, and timed from that moment. Where a curve turns "
                "upwards, the strategy can carry no more. Both axes are logarithmic." }
            (chart::curves(&points(|run| run.latency_ms.mean), "mean response time (ms)"))
            (chart::curves(&points(|run| run.latency_ms.p99), "99th percentile (ms)"))
            (tables::open_loops(&open))
        }
    }
}

/// What two loops saw of the same stall.
fn loops(results: &Results) -> Markup {
    html! {
        @if let Some(loops) = &results.loops {
            h2 { "Why latency is timed from when requests were due" }
            p { "The service stood still for " (format!("{:.0} ms", loops.stall_ms)) ", once in each "
                "loop. The closed loop asks again when it has its answer, and so hardly asks while "
                "nothing is answered (coordinated omission)." }
            table {
                thead { tr { th {} th { "mean ms" } th { "p50" } th { "p99" } th { "p99.9" } th { "max" } } }
                tbody {
                    @for (name, latency) in [("open loop", &loops.open), ("closed loop", &loops.closed)] {
                        tr { td { (name) }
                            @for value in [latency.mean, latency.p50, latency.p99, latency.p999, latency.max] {
                                td.n { (format!("{value:.1}")) }
                            }
                        }
                    }
                }
            }
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
            "counts disagree is a check above that does not hold. Staleness is that of sampled answers, "
            "each compared with Postgres afterwards; " code { "larder-bench verify" }
            " checks every read." }
    }
}

fn replays(results: &Results) -> impl Iterator<Item = &Run> {
    results.runs.iter().filter(|run| run.db_queries.floor.is_some() && run.repeat == 0)
}

#[cfg(test)]
mod tests;
