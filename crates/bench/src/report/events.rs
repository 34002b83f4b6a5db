//! What a restart and a lost server cost: the repeats together.

use std::fmt::Write;

use maud::{Markup, html};

use super::words::figure;
use crate::results::{EventSummary, Results, event_summaries};

const COLUMNS: [&str; 8] = [
    "what",
    "strategy",
    "seconds of load",
    "cost in queries: median (interval)",
    "queries undisturbed",
    "p99 ms with it",
    "errors with it",
    "repeats",
];

fn row(event: &EventSummary, can_claim: bool) -> [String; 8] {
    let claim = if event.claim && can_claim { "" } else { ", no claim" };
    [
        event.name.clone(),
        event.cell.label(),
        event.seconds.to_string(),
        figure(event.cost_queries),
        figure(event.steady_queries),
        figure(event.p99_ms),
        event.errors.to_string(),
        format!("{} ({} interval{claim})", event.repeats, event.cost_queries.confidence()),
    ]
}

/// As a table of the page.
pub(super) fn medians(results: &Results) -> Markup {
    html! {
        div.wide { table {
            thead { tr { @for name in COLUMNS { th { (name) } } } }
            tbody {
                @for event in event_summaries(&results.events) {
                    tr { @for value in row(&event, results.can_claim()) { td { (value) } } }
                }
            }
        } }
    }
}

/// As a table in Markdown, in which `clean` leaves no markup.
pub(super) fn markdown(text: &mut String, results: &Results, clean: fn(&str) -> String) {
    let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    for event in event_summaries(&results.events) {
        let row = row(&event, results.can_claim());
        let _ = writeln!(text, "| {} |", row.map(|value| clean(&value)).join(" | "));
    }
    text.push('\n');
}
