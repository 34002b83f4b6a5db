//! What a restart and a lost server cost: the repeats together.

use std::fmt::Write;

use maud::{Markup, html};

use super::words::figure;
use crate::results::{Event, EventSummary, event_summaries};

const COLUMNS: [&str; 7] = [
    "what",
    "strategy",
    "cost in queries: median (interval)",
    "queries undisturbed",
    "p99 ms with it",
    "errors in all",
    "repeats",
];

fn row(event: &EventSummary) -> [String; 7] {
    let claim = if event.claim { "" } else { ", no claim" };
    [
        event.name.clone(),
        event.cell.label(),
        figure(event.cost_queries),
        figure(event.steady_queries),
        figure(event.p99_ms),
        event.errors.to_string(),
        format!("{} ({} interval{claim})", event.repeats, event.cost_queries.confidence()),
    ]
}

/// As a table of the page.
pub(super) fn medians(events: &[Event]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { @for name in COLUMNS { th { (name) } } } }
            tbody {
                @for event in event_summaries(events) {
                    tr { @for value in row(&event) { td { (value) } } }
                }
            }
        } }
    }
}

/// As a table in Markdown, in which `clean` leaves no markup.
pub(super) fn markdown(text: &mut String, events: &[Event], clean: fn(&str) -> String) {
    let _ = writeln!(text, "| {} |\n|{}", COLUMNS.join(" | "), " --- |".repeat(COLUMNS.len()));
    for event in event_summaries(events) {
        let _ = writeln!(text, "| {} |", row(&event).map(|value| clean(&value)).join(" | "));
    }
    text.push('\n');
}
