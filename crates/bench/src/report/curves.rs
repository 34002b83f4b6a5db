//! Response time against throughput, up to saturation.

use maud::{Markup, html};

use super::chart::{self, Point};
use super::tables::{runs_table, what_makes_them_again};
use super::words::figure;
use crate::measure::Interval;
use crate::results::{CurvePoint, Results, Run};

pub(super) fn section(results: &Results) -> Markup {
    let open = || results.curve.iter().filter(|point| point.offered_rps.is_some());
    let points = |value: fn(&CurvePoint) -> Interval| -> Vec<Point> {
        open()
            .map(|point| Point {
                series: point.cell.label(),
                x: point.achieved_rps,
                y: value(point),
                order: point.offered_rps.unwrap_or(point.achieved_rps.median),
            })
            .collect()
    };
    let runs: Vec<&Run> = results.runs.iter().filter(|run| run.is_of_a_curve()).collect();
    html! {
        @if open().next().is_some() {
            h2 { "Response time against throughput, up to saturation" }
            p { "Each point is an open loop: requests are sent when they are due, whether or not "
                "earlier ones have been answered, and timed from that moment. Where a curve turns "
                "upwards, the strategy can carry no more. Both axes are logarithmic. Points are medians of "
                "their repeats, measured strategy after strategy and then all of them again; lines through "
                "them are the intervals." }
            (chart::curves(&points(|point| point.mean_ms), "mean response time (ms)"))
            (chart::curves(&points(|point| point.p99_ms), "99th percentile (ms)"))
            (table(results))
            details { summary { "each run" } (runs_table(&runs)) }
            (what_makes_them_again(&runs))
        }
    }
}

fn table(results: &Results) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th { "strategy" } th { "offered/s" } th { "answered/s" } th { "mean ms" } th { "p99 ms" }
                th { "errors" } th { "repeats (interval)" } th {}
            } }
            tbody { @for point in &results.curve { tr {
                td { (point.cell.label()) }
                td.n { @match point.offered_rps {
                    Some(rate) => (format!("{rate:.0}")),
                    None => "the most (closed loop)",
                } }
                td.n { (figure(point.achieved_rps)) }
                td.n { (figure(point.mean_ms)) }
                td.n { (figure(point.p99_ms)) }
                td.n { (point.errors) }
                td.n { (point.repeats) " (" (point.mean_ms.confidence()) ")" }
                td { @if point.claim && results.can_claim() { "claim" } @else { "no claim" } }
            } } }
        } }
    }
}
