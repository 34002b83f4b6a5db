//! The first screen: what was compared, on what, and what caching gained.

use maud::{Markup, html};

use crate::measure::Interval;
use crate::results::{REPEATS_FOR_A_CLAIM, Results, Summary, Verdict};

pub(super) fn screen(results: &Results) -> Markup {
    let machine = &results.machine;
    html! {
        @if let Some(why) = &results.broken_off {
            p.quick { strong { "Broken off: " } (why) ". What follows is what had been measured, and no "
                "claim." }
        }
        @if results.verdicts.is_empty() {
            (alone(results))
        } @else {
            @if results.quick {
                p.quick { strong { "A quick look, not a claim." } " It has too few repeats: "
                    code { "make bench-full" } " makes claims." }
            }
            p.headline { (headline(results)) }
            p { "Compared with " strong { (results.verdicts[0].baseline.label()) } " on "
                (machine.cpu) ", " (machine.cores) " cores, " (machine.postgres) ", "
                (machine.redis) "; medians of paired repeats, and the interval that holds the true one as often as "
                "is said beside the number of repeats." }
            div.wide { table {
                thead { tr {
                    th { "strategy" } th { "load" } th { "database queries saved" }
                    th { "times as fast (mean)" } th { "times as fast (p99)" }
                    th { "staleness p99, longest" } th { "wrong / sampled" } th { "repeats (interval)" } th {}
                } }
                tbody {
                    @for verdict in &results.verdicts {
                        tr {
                            td { (verdict.cell.label()) } td { (verdict.cell.workload) }
                            td.n { (percent(verdict.queries_saved)) }
                            td.n { (times(verdict.times_faster_mean)) }
                            td.n { (times(verdict.times_faster_p99)) }
                            td.n { (staleness(verdict)) }
                            td.n { @if let Some((stale, sampled)) = verdict.stale_of_sampled {
                                (stale) " / " (sampled)
                            } }
                            td.n { (verdict.repeats) " (" (verdict.queries_saved.confidence()) ")" }
                            td { (claim(verdict, results)) }
                        }
                    }
                }
            } }
            (relay(results))
            @if results.runs.iter().any(|run| run.db_latency_ms.is_some()) {
                p.quick { "Postgres was put further away by a proxy: see "
                    "“database … ms away” beside each strategy." }
            }
        }
    }
}

/// What none of the figures holds.
fn relay(results: &Results) -> Markup {
    let most = results.runs.iter().map(|run| run.db_queries.relay).max().unwrap_or(0);
    html! {
        @if most > 0 {
            p { "Queries are those of the service's role. The change feed of its processes has another one, "
                "and asks Postgres whatever the load is: " (most) " statements at the most in a run, which "
                "are in no figure but the column “relay” below." }
        }
    }
}

/// What was measured, where nothing is there to compare it with.
fn alone(results: &Results) -> Markup {
    html! {
        @if !results.summaries.is_empty() {
            @if results.quick { p.quick { strong { "A quick look, not a claim." } } }
            ul.summary {
                @for summary in &results.summaries {
                    li { (sentence(summary)) }
                }
            }
        }
    }
}

/// One cell in a sentence.
pub(super) fn sentence(summary: &Summary) -> String {
    let median = |name: &str| summary.metric(name).map(|value| value.median);
    let part = |name: &str, said: &dyn Fn(f64) -> String| median(name).map(said);
    let parts = [
        part("achieved_rps", &|rate| format!("{rate:.0} requests answered a second")),
        part("queries_per_1000_requests", &|queries| {
            format!("{queries:.1} database queries for 1,000 requests")
        }),
        part("query_efficiency", &|part| {
            format!("query efficiency (fewest possible / loads) {part:.4}")
        }),
        part("mean_ms", &|mean| format!("mean {mean:.2} ms")),
        part("p99_ms", &|p99| format!("p99 {p99:.2} ms")),
        part("errors", &|errors| format!("{errors:.0} errors")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let claim = if summary.claim { "" } else { " (no claim)" };
    format!("{}, {}: {}{claim}.", summary.cell.label(), summary.cell.workload, parts.join(", "))
}

/// The best verdict in a sentence.
pub(super) fn headline(results: &Results) -> String {
    let best = results
        .verdicts
        .iter()
        .max_by(|a, b| a.queries_saved.median.total_cmp(&b.queries_saved.median));
    let Some(best) = best else { return String::new() };
    let staleness = match (best.staleness_p99_ms, best.staleness_max_ms) {
        (Some(p99), Some(max)) => format!(
            "at a staleness of {} (99 % of the sampled answers), {} at the longest",
            age(p99),
            age(max)
        ),
        _ => "with no answer sampled for its staleness".to_owned(),
    };
    format!(
        "{} saved {} of the database queries under {}, and answered {} times as fast on average, \
         {staleness}.",
        best.cell.label(),
        percent(best.queries_saved),
        best.cell.workload,
        times(best.times_faster_mean),
    )
}

pub(super) fn claim(verdict: &Verdict, results: &Results) -> &'static str {
    if results.broken_off.is_some() {
        "no claim: broken off"
    } else if results.quick || verdict.repeats < REPEATS_FOR_A_CLAIM {
        "no claim: too few repeats"
    } else if verdict.claim {
        "claim"
    } else {
        "no claim: the load generator does not vouch for it"
    }
}

pub(super) fn percent(part: Interval) -> String {
    let Interval { median, low, high, .. } = part;
    format!("{:.1} % ({:.1} to {:.1})", median * 100.0, low * 100.0, high * 100.0)
}

pub(super) fn times(ratio: Interval) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.low, ratio.high)
}

pub(super) fn staleness(verdict: &Verdict) -> String {
    match (verdict.staleness_p99_ms, verdict.staleness_max_ms) {
        (Some(p99), Some(max)) => format!("{}, {}", age(p99), age(max)),
        _ => "not sampled".to_owned(),
    }
}

/// Ages are upper ends of buckets; zero is what was right.
fn age(millis: f64) -> String {
    if millis == 0.0 { "0 ms".to_owned() } else { format!("≤ {millis} ms") }
}
