//! What a million requests cost, at prices that the reader may change.

use maud::{Markup, PreEscaped, html};

use crate::measure::median;
use crate::results::{Results, Run, repeats};

/// Recomputes the costs when a price is changed. It asks nobody for anything.
const SCRIPT: &str = include_str!("costs.js");

/// A price: its name, its unit, and an example to begin with. Nobody's list price.
struct Price {
    id: &'static str,
    name: &'static str,
    example: f64,
    /// How many of the unit a million requests of a run take.
    takes: fn(&Run) -> f64,
}

const GIB: f64 = (1_u64 << 30) as f64;

const PRICES: [Price; 4] = [
    Price {
        id: "api",
        name: "a core of the API, an hour",
        example: 0.04,
        takes: |run| core_hours(run, run.cpu_seconds.api),
    },
    Price {
        id: "postgres",
        name: "a core of Postgres, an hour",
        example: 0.12,
        takes: |run| core_hours(run, run.cpu_seconds.postgres),
    },
    Price {
        id: "redis",
        name: "a core of Redis, an hour",
        example: 0.06,
        takes: |run| core_hours(run, run.cpu_seconds.redis),
    },
    Price {
        id: "memory",
        name: "a GiB of cached data, an hour",
        example: 0.02,
        takes: |run| {
            let bytes = run.memory.l2_bytes.unwrap_or(0) + run.memory.l1_bytes;
            bytes as f64 / GIB * hours(run)
        },
    },
];

/// Hours that a million requests take at the rate of the run.
fn hours(run: &Run) -> f64 {
    1e6 / run.achieved_rps.max(1e-9) / 3_600.0
}

fn core_hours(run: &Run, seconds: f64) -> f64 {
    seconds / run.requests.max(1) as f64 * 1e6 / 3_600.0
}

pub(super) fn table(results: &Results) -> Markup {
    let cells = repeats(&results.runs);
    html! {
        @if !cells.is_empty() {
            h2 { "Cost of a million requests" }
            p { "Processor time and memory as measured, at prices for you to change. The examples are "
                "nobody's prices. What is idle, disks, traffic and people are not in it." }
            table.plain.prices { tbody { tr {
                @for Price { id, name, example, .. } in PRICES {
                    td { label { (name) " "
                        input type="number" min="0" step="any" data-price=(id) value=(example); } }
                }
            } } }
            table.costs {
                thead { tr {
                    th { "strategy" } th { "load" }
                    th { "API core-hours" } th { "Postgres core-hours" } th { "Redis core-hours" }
                    th { "GiB-hours" } th { "cost" }
                } }
                tbody {
                    @for (cell, runs) in &cells {
                        @let takes = PRICES.map(|price| {
                            median(&runs.iter().map(|run| (price.takes)(run)).collect::<Vec<_>>())
                        });
                        @let cost: f64 =
                            PRICES.iter().zip(takes).map(|(price, takes)| price.example * takes).sum();
                        tr {
                            td { (cell.label()) } td { (cell.workload) }
                            @for (Price { id, .. }, takes) in PRICES.iter().zip(takes) {
                                td.n data-takes=(id) data-value=(takes) { (format!("{takes:.4}")) }
                            }
                            td.n { strong data-cost="" { (format!("{cost:.4}")) } }
                        }
                    }
                }
            }
            script { (PreEscaped(SCRIPT)) }
        }
    }
}
