//! One HTML file for people, of which nothing is fetched from elsewhere, and the same as Markdown.

pub(crate) mod bars;
pub(crate) mod chart;
mod costs;
mod curves;
mod events;
mod markdown;
mod matrix;
mod tables;
mod verdict;
mod words;

use std::path::Path;

use anyhow::{Context, Result};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use self::words::{standing, times};
use crate::results::{Check, Results, Run};

const STYLE: &str = include_str!("style.css");

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

/// An HTML file of which nothing is fetched from elsewhere.
pub(crate) fn document(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    }
}

fn page(results: &Results) -> Markup {
    document(
        "Larder benchmark",
        &html! {
            h1 { "Larder benchmark" }
            (verdict::screen(results))
            (summary(results))
            (matrix::sections(results))
            (costs::table(results))
            (curves::section(results))
            (loops(results))
            (tables::ratios(results))
            (tables::replays(results))
            (tables::closed_loops(results))
            (tables::repeats(results))
            (checks(results))
            (origin(results))
            (conditions(results))
        },
    )
}

/// What was found beside the verdict.
fn summary(results: &Results) -> Markup {
    let by = |name: &str| results.ratios.iter().find(|ratio| ratio.name.starts_with(name));
    html! {
        ul.summary {
            @for (name, page, other) in [
                ("cached page / no cache", "A product page from Redis Cluster", "one computed by Postgres"),
                ("cached page / one bare GET", "It", "one bare GET of as many bytes from Redis"),
                ("cached page / static", "It", "a fixed body of its length by the same server"),
                ("page from L1 / static", "A page from the process (L1)", "that body"),
                ("cached summary", "The summary, one row by primary key,", "one read by Postgres"),
            ] {
                @if let Some(found) = by(name) {
                    li { (page) " is served " strong { (times(found.ratio)) } " times as often as " (other)
                         " (" (found.ratio.confidence()) " interval)"
                         @if let Some(by_cpu) = found.by_server_cpu {
                             ", and " strong { (times(by_cpu)) } " times for the same server CPU"
                         }
                         @if found.bar.is_some() { "; the bar is " (standing(found)) } "." }
                }
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
            (open_questions(&results.checks))
        }
    }
}

/// What does not hold, and what an interval leaves open.
fn open_questions(checks: &[Check]) -> Markup {
    let missed = checks.iter().filter(|check| !check.holds).count();
    let open = checks.iter().filter(|check| check.holds && !check.is_decided()).count();
    html! {
        @if missed > 0 {
            li.missed { (missed) " of " (checks.len()) " checks do not hold: see “What must hold”." }
        }
        @if open > 0 {
            li { (open) " of " (checks.len()) " checks hold by their median alone: the interval does not decide." }
        }
    }
}

fn checks(results: &Results) -> Markup {
    html! {
        @if !results.checks.is_empty() {
            h2 { "What must hold" }
            p { "A bar for a figure with an interval holds where the whole interval reaches it, and does not hold "
                "where no part of it does; in between, the interval does not decide, and the exit code goes by "
                "the median." }
            div.wide { table {
                thead { tr { th {} th { "what" } th { "found" } } }
                tbody {
                    @for check in &results.checks {
                        tr.missed[!check.holds].open[check.holds && !check.is_decided()] {
                            td { (check.words()) }
                            td { (check.name) }
                            td { (check.found) }
                        }
                    }
                }
            } }
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
    results.runs.iter().filter(|run| run.db_queries.floor.is_some() && is_alone(run))
}

/// Closed loops that are neither repeats of each other nor replays.
fn closed_loops(results: &Results) -> impl Iterator<Item = &Run> {
    results.runs.iter().filter(|run| run.db_queries.floor.is_none() && is_alone(run))
}

fn is_alone(run: &Run) -> bool {
    run.repeat == 0 && !run.is_of_a_curve()
}

#[cfg(test)]
mod tests;
