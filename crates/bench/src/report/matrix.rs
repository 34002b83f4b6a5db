//! The cells of a comparison, pictures first, then the numbers behind them.

use maud::{Markup, html};

use super::bars::{self, Bar};
use super::chart::{self, Point};
use super::words::figure;
use crate::results::{Results, Summary};

pub(super) fn sections(results: &Results) -> Markup {
    let mut workloads: Vec<&str> = Vec::new();
    for summary in &results.summaries {
        if !workloads.contains(&summary.cell.workload.as_str()) {
            workloads.push(&summary.cell.workload);
        }
    }
    html! {
        @if !results.summaries.is_empty() {
            (throughput(&results.summaries))
            @for workload in workloads {
                @let cells: Vec<&Summary> =
                    results.summaries.iter().filter(|s| s.cell.workload == workload).collect();
                h2 { "Under " (workload) }
                (pictures(&cells))
                (table(&cells))
            }
        }
        (events(results))
    }
}

/// Response time against throughput, where a cell was measured under several loads.
fn throughput(summaries: &[Summary]) -> Markup {
    // All but the load is what a curve is of.
    let series = |summary: &Summary| {
        let workload = &summary.cell.workload;
        let kind = workload.rsplit_once(", ").map_or(workload.as_str(), |(kind, _)| kind);
        format!("{}, {kind}", summary.cell.label())
    };
    let several = summaries
        .iter()
        .any(|one| summaries.iter().filter(|other| series(other) == series(one)).count() > 1);
    let points = summaries.iter().filter_map(|summary| {
        let (x, y) = (summary.metric("achieved_rps")?, summary.metric("mean_ms")?);
        Some(Point { series: series(summary), x, y, order: x.median })
    });
    let points: Vec<Point> = points.collect();
    html! {
        @if several {
            h2 { "Response time against throughput" }
            (chart::curves(&points, "mean response time (ms)"))
        }
    }
}

fn pictures(cells: &[&Summary]) -> Markup {
    let picture = |title: &str, name: &str, floor: bool, shown: fn(f64) -> String| {
        let all: Vec<Bar> = cells
            .iter()
            .filter_map(|summary| {
                let floor = summary.metric("floor").filter(|_| floor).map(|floor| floor.median);
                Some(bars::bar(summary.cell.label(), summary.metric(name)?, floor, shown))
            })
            .collect();
        html! { @if !all.is_empty() { (bars::figure(title, all)) } }
    };
    html! {
        div.pictures {
            (picture("Database queries for 1,000 requests, writes included", "queries_per_1000_requests",
                     false, |value| format!("{value:.1}")))
            (picture("Loads; the mark is the floor, the fewest that any cache could have done", "loads",
                     true, |value| format!("{value:.0}")))
            (picture("Median response time (ms)", "p50_ms", false, |value| format!("{value:.2}")))
            (picture("99th percentile (ms)", "p99_ms", false, |value| format!("{value:.2}")))
            (picture("99.9th percentile (ms)", "p999_ms", false, |value| format!("{value:.2}")))
            (picture("Hit ratio in the process (L1)", "hit_ratio_l1", false,
                     |value| format!("{value:.3}")))
            (picture("Hit ratio in Redis Cluster (L2)", "hit_ratio_l2", false,
                     |value| format!("{value:.3}")))
            (picture("Staleness of sampled answers, longest (ms)", "staleness_max_ms", false,
                     |value| format!("{value:.1}")))
            (picture("Memory of what is cached, all tiers (MiB)", "cache_bytes", false,
                     |value| format!("{:.1}", value / f64::from(1 << 20))))
        }
    }
}

/// Every figure of every cell.
fn table(cells: &[&Summary]) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for metric in cells.iter().flat_map(|summary| &summary.metrics) {
        if !names.contains(&metric.name.as_str()) {
            names.push(&metric.name);
        }
    }
    html! {
        details open { summary { "the numbers: medians with their intervals" }
            div.wide { table {
                thead { tr { th { "figure" }
                    @for summary in cells {
                        th { (summary.cell.label()) " (" (summary.repeats) " repeats, " (summary.confidence()) " intervals"
                             @if !summary.claim { ", no claim" } ")" }
                    }
                } }
                tbody {
                    @for name in names {
                        tr { td { (name) }
                            @for summary in cells {
                                td.n { @if let Some(value) = summary.metric(name) { (figure(value)) } }
                            }
                        }
                    }
                }
            } }
        }
    }
}

fn events(results: &Results) -> Markup {
    let events = &results.events;
    html! {
        @if !events.is_empty() {
            h2 { "What a restart and a lost server cost" }
            p { "The same schedule was sent undisturbed just before, and what it took more with the event is "
                "the cost, within the seconds of the load: what is asked for again later is not in it. A rolling restart replaces the API processes one by one; the lost node is a "
                "primary of the Redis Cluster, whose replica takes over." }
            (super::events::medians(results))
            details { summary { "each of them" } div.wide { table {
                thead { tr {
                    th { "what" } th { "strategy" } th { "repeat" } th { "queries undisturbed" }
                    th { "with it" } th { "cost in queries" } th { "of unknown outcome" }
                    th { "requests" } th { "errors" } th { "p99 undisturbed" } th { "p99" } th { "longest ms" }
                } }
                tbody {
                    @for event in events {
                        tr {
                            td { (event.name) } td { (event.cell.label()) } td.n { (event.repeat) }
                            td.n { (event.steady_queries) } td.n { (event.queries) }
                            td.n { strong { (event.cost_queries) } } td.n { (event.unknown) }
                            td.n { (event.requests) } td.n { (event.errors) }
                            td.n { (format!("{:.1}", event.steady_p99_ms)) }
                            td.n { (format!("{:.1}", event.p99_ms)) }
                            td.n { (format!("{:.0}", event.max_ms)) }
                        }
                    }
                }
            } } }
        }
    }
}
