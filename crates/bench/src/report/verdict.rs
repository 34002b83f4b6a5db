//! The first screen: what was compared, on what, and what caching gained.

use maud::{Markup, html};

use super::words::{part, times};
use crate::measure::Interval;
use crate::results::{REPEATS_FOR_A_CLAIM, Results, Summary, Verdict};

pub(super) fn screen(results: &Results) -> Markup {
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
            div.headline {
                @for verdict in results.headlines() {
                    p { (with_emphasis(&sentence(verdict))) " " em { "(" (claim(verdict, results)) ")" } }
                }
            }
            (compared(results))
            (table(results))
            (relay(results))
            @if results.runs.iter().any(|run| run.db_latency_ms.is_some()) {
                p.quick { "Postgres was put further away by a proxy: see "
                    "“database … ms away” beside each strategy." }
            }
        }
    }
}

/// With what, on what, and why the verdict is about this one.
fn compared(results: &Results) -> Markup {
    let machine = &results.machine;
    html! {
        p {
            @if let Some(headline) = &results.headline {
                "Chosen before anything was measured: " (headline.chosen()) ". The others are in the table. "
            }
            "All are compared with " strong { (results.verdicts[0].baseline.label()) } " on "
            (machine.cpu) ", " (machine.cores) " cores, " (machine.postgres) ", " (machine.redis)
            "; medians of paired repeats, and in parentheses the interval that holds the true one as often "
            "as is said beside the number of repeats."
        }
    }
}

fn table(results: &Results) -> Markup {
    let is_headline = |verdict: &Verdict| {
        results.headline.as_ref().is_some_and(|headline| headline.is_of(&verdict.cell))
    };
    html! {
        div.wide { table {
            thead { tr {
                th { "strategy" } th { "load" } th { "database queries saved (interval), of what was possible" }
                th { "times as fast (mean)" } th { "times as fast (p99)" }
                th { "staleness p99, longest" } th { "wrong / sampled" } th { "repeats (interval)" } th {}
            } }
            tbody {
                @for verdict in &results.verdicts {
                    tr.chosen[is_headline(verdict)] {
                        td { (verdict.cell.label()) } td { (verdict.cell.workload) }
                        td.n { (saved(verdict)) }
                        td.n { (times(verdict.times_faster_mean)) }
                        td.n { (times(verdict.times_faster_p99)) }
                        td.n { (staleness(verdict)) }
                        td.n { @if let Some((stale, sampled)) = verdict.stale_of_sampled {
                            (stale) " / " (sampled)
                        } }
                        td.n { (verdict.repeats) " (" (verdict.times_faster_mean.confidence()) ")" }
                        td { (claim(verdict, results)) }
                    }
                }
            }
        } }
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
        @if results.quick { p.quick { strong { "A quick look, not a claim." } } }
        @if !results.summaries.is_empty() {
            ul.summary {
                @for summary in &results.summaries {
                    li { (figures(summary)) }
                }
            }
        }
    }
}

/// One cell in a sentence.
pub(super) fn figures(summary: &Summary) -> String {
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

/// What stands between pairs of asterisks is strong, as in Markdown.
fn with_emphasis(text: &str) -> Markup {
    html! {
        @for (number, piece) in text.split("**").enumerate() {
            @if number % 2 == 1 { strong { (piece) } } @else { (piece) }
        }
    }
}

/// A verdict in a sentence, every figure with its interval; the figures are in pairs of asterisks.
pub(super) fn sentence(verdict: &Verdict) -> String {
    let Verdict { cell, baseline, .. } = verdict;
    let saved = match (verdict.queries_saved, verdict.most_saved) {
        (None, _) => "saved **nothing**, for there were no database queries to save,".to_owned(),
        (Some(saved), None) => format!("saved **{}** of the database queries", part(saved)),
        (Some(saved), Some(most)) => format!(
            "saved **{}** of the database queries, of the {} that any cache could have saved,",
            part(saved),
            part(most)
        ),
    };
    let errors = match verdict.errors {
        (0, 0) => String::new(),
        (ours, theirs) => format!(
            " **{ours} and {theirs} requests failed**, which are quick and ask nothing: the figures say \
             little."
        ),
    };
    format!(
        "{} {saved} under {}, compared with {}. It answered **{}** times as fast on average and **{}** times \
         as fast at the 99th percentile, {}. Intervals hold with {}.{errors}",
        cell.label(),
        cell.workload,
        baseline.label(),
        times(verdict.times_faster_mean),
        times(verdict.times_faster_p99),
        how_stale(verdict),
        verdict.times_faster_mean.confidence(),
    )
}

/// What was saved of the queries, and how much could have been.
pub(super) fn saved(verdict: &Verdict) -> String {
    let Some(saved) = verdict.queries_saved else { return "there were none".to_owned() };
    let most = verdict.most_saved.map(|most| format!(" of {:.1} %", most.median * 100.0));
    part(saved) + &most.unwrap_or_default()
}

fn how_stale(verdict: &Verdict) -> String {
    let (Some(p99), Some(longest)) = (verdict.staleness_p99_ms, longest(verdict)) else {
        return "with no answer sampled for its staleness".to_owned();
    };
    let of_99 = verdict.staleness_p99.map_or_else(
        || age(p99),
        |Interval { median, low, high, .. }| {
            format!("{} ({} to {})", age(median), age(low), age(high))
        },
    );
    let wrong = verdict.stale_part.zip(verdict.stale_of_sampled).map_or_else(
        String::new,
        |(share, (stale, sampled))| {
            format!(
                "; {} of the sampled answers were stale, {stale} of {sampled} in all",
                part(share)
            )
        },
    );
    format!(
        "at a staleness of **{of_99}** for 99 % of the sampled answers and {longest} at the longest in any \
         repeat{wrong}"
    )
}

pub(super) fn claim(verdict: &Verdict, results: &Results) -> &'static str {
    if results.broken_off.is_some() {
        "no claim: broken off"
    } else if results.quick || verdict.repeats < REPEATS_FOR_A_CLAIM {
        "no claim: too few repeats"
    } else if verdict.claim {
        "claim"
    } else if verdict.errors != (0, 0) {
        "no claim: requests failed"
    } else {
        "no claim: the load generator does not vouch for it"
    }
}

pub(super) fn staleness(verdict: &Verdict) -> String {
    match (verdict.staleness_p99_ms, longest(verdict)) {
        (Some(p99), Some(longest)) => format!("{}, {longest}", age(p99)),
        _ => "not sampled".to_owned(),
    }
}

/// The longest staleness in any repeat. Beyond the last bucket all that is known is where it begins.
fn longest(verdict: &Verdict) -> Option<String> {
    let millis = verdict.staleness_max_ms?;
    Some(if verdict.staleness_beyond { format!("> {millis} ms") } else { age(millis) })
}

/// Ages are upper ends of buckets; zero is what was right.
fn age(millis: f64) -> String {
    if millis == 0.0 { "0 ms".to_owned() } else { format!("≤ {millis} ms") }
}
