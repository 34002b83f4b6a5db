//! The tables of the report.

use maud::{Markup, html};

use super::words::{TWO_RATIOS, by_server_cpu, ratio, standing};
use crate::measure::Cpu;
use crate::results::{Results, Run};

pub(super) fn ratios(results: &Results) -> Markup {
    html! {
        @if !results.ratios.is_empty() {
            h2 { "Ratios" }
            p { (TWO_RATIOS) }
            p { "Medians of paired rounds with intervals that hold the true one as often as is said; all sides ask for the "
                "same products in the same order, in a closed loop, from a warm cache. Processor "
                "microseconds are those of one request: API, Postgres, Redis, load generator." }
            div.wide { table {
                thead { tr {
                    th { "what" } th { "by throughput" } th { "by server CPU" } th { "bar (throughput)" }
                    th { "rounds (interval)" } th { "requests/s" }
                    th { "CPU µs above (API, PG, Redis, load)" } th { "CPU µs below" }
                } }
                tbody {
                    @for one in &results.ratios {
                        @let missed = one.standing.is_some_and(|standing| !standing.passes());
                        tr.missed[missed] {
                            td { (one.name) }
                            td.n { strong { (ratio(one.ratio)) } }
                            td.n { strong { (by_server_cpu(one)) } }
                            td { (standing(one)) }
                            td.n { (one.numerator_rps.len()) " (" (one.ratio.confidence()) ")" }
                            td.n { (middle(&one.numerator_rps)) " / " (middle(&one.denominator_rps)) }
                            td.n { (cpu(&one.numerator_cpu_us)) }
                            td.n { (cpu(&one.denominator_cpu_us)) }
                        }
                    }
                }
            } }
        }
    }
}

pub(super) fn replays(results: &Results) -> Markup {
    let replays: Vec<&Run> = super::replays(results).collect();
    html! {
        @if !replays.is_empty() {
            h2 { "Recorded sequences" }
            p { "Replayed in their order from an empty cache. The floor is the fewest loads with "
                "which any cache could have answered. Where requests overlap, two may load the same "
                "key at once." }
            (runs_table(&replays))
            (what_makes_them_again(&replays))
        }
    }
}

pub(super) fn closed_loops(results: &Results) -> Markup {
    let others: Vec<&Run> = super::closed_loops(results).collect();
    html! {
        @if !others.is_empty() {
            h2 { "Closed loops" }
            p { "As many requests are under way as there are connections. Their latency says little "
                "(a slow server is asked less often); their throughput is the most that was reached." }
            (runs_table(&others))
            (what_makes_them_again(&others))
        }
    }
}

/// Every run of a comparison.
pub(super) fn repeats(results: &Results) -> Markup {
    let runs: Vec<&Run> = results.runs.iter().filter(|run| run.repeat > 0).collect();
    html! {
        @if !runs.is_empty() {
            h2 { "Each run" }
            (runs_table(&runs))
            (what_makes_them_again(&runs))
        }
    }
}

/// What makes each run again, each process in it, and what its load generator says.
pub(super) fn what_makes_them_again(runs: &[&Run]) -> Markup {
    html! {
        details { summary { "what makes each again, what its processes used, and whether the load "
                            "generator vouches for it" }
            div.wide { table {
                thead { tr { th { "strategy" } th { "load" } th { "repeat" } th { "command" }
                             th { "CPU s and peak MiB of each process" } th { "load generator" } } }
                tbody {
                    @for run in runs {
                        tr {
                            td { (run.strategy) " " (run.tiers) } td { (run.workload) }
                            td.n { @if let Some(repeat) = run.any_repeat() { (repeat) } }
                            td { @if let Some(command) = &run.command { code { (command) } } }
                            td { @for one in &run.processes {
                                (one.name) ": " (format!("{:.2}", one.cpu_seconds)) " s, "
                                (one.peak_rss_bytes >> 20) " MiB; "
                            } }
                            td { (format!("{:.2} cores", run.generator.cores_used))
                                @if let Some(late) = run.generator.late_p99_ms {
                                    (format!(", late by {late:.2} ms (p99)"))
                                }
                                @match &run.generator.not_certified {
                                    Some(why) => { ". " strong { "Not certified: " } (why) },
                                    None => { ". Certified." },
                                }
                            }
                        }
                    }
                }
            } }
        }
    }
}

pub(super) fn runs_table(runs: &[&Run]) -> Markup {
    html! {
        div.wide { table {
            thead { tr {
                th { "strategy" } th { "tiers" } th { "workload" } th { "processes" } th { "offered/s" } th { "answered/s" }
                th { "requests" } th { "errors" }
                th { "mean ms" } th { "p50" } th { "p99" } th { "max" }
                th { "queries counted" } th { "by Postgres" } th { "relay" } th { "loads" } th { "floor" } th { "efficiency" }
                th { "rows" } th { "coalesced (process, cluster)" } th { "staleness p99 ms" }
                th { "L1 hit ratio" } th { "L2 hit ratio" } th { "Redis round trips" } th { "CPU s (API, PG, Redis, load)" }
            } }
            tbody {
                @for run in runs {
                    tr {
                        td { (run.strategy) } td { (run.tiers) } td { (run.workload)
                            @if let Some(latency) = run.db_latency_ms { ", database " (latency) " ms away" }
                        }
                        td.n { (run.replicas) }
                        td.n { @if let Some(rate) = run.offered_rps { (format!("{rate:.0}")) } }
                        td.n { (format!("{:.0}", run.achieved_rps)) }
                        td.n { (run.requests) }
                        td.n { (run.errors) @if run.shed > 0 { " (" (run.shed) " shed)" } }
                        td.n { (ms(run.latency_ms.mean)) } td.n { (ms(run.latency_ms.p50)) }
                        td.n { (ms(run.latency_ms.p99)) } td.n { (ms(run.latency_ms.max)) }
                        td.n { (run.db_queries.counted) } td.n { (run.db_queries.pg_stat_statements) }
                        td.n { (run.db_queries.relay) }
                        td.n { (run.db_queries.loads) }
                        td.n { @if let Some(floor) = run.db_queries.floor { (floor) } }
                        td.n { @if let Some(efficiency) = run.query_efficiency { (format!("{efficiency:.4}")) } }
                        td.n { (run.db_rows) }
                        td.n { (run.coalesced.process) ", " (run.coalesced.cluster) }
                        td.n { @if let Some(p99) = run.staleness_ms.p99 { (p99) } }
                        @for ratio in [run.hit_ratio.l1, run.hit_ratio.l2] {
                            td.n { @if let Some(ratio) = ratio { (format!("{ratio:.3}")) } }
                        }
                        td.n { (run.redis_round_trips) }
                        td.n { (seconds(&run.cpu_seconds)) }
                    }
                }
            }
        } }
    }
}

fn ms(value: f64) -> String {
    format!("{value:.2}")
}

fn middle(values: &[f64]) -> String {
    format!("{:.0}", crate::measure::median(values))
}

fn cpu(cpu: &Cpu) -> String {
    format!(
        "{:.0} ({:.0}, {:.0}, {:.0}, {:.0})",
        cpu.total(),
        cpu.api,
        cpu.postgres,
        cpu.redis,
        cpu.generator
    )
}

fn seconds(cpu: &Cpu) -> String {
    format!("{:.1}, {:.1}, {:.1}, {:.1}", cpu.api, cpu.postgres, cpu.redis, cpu.generator)
}
