//! The report as Markdown, for a pull request or a wiki.

use std::fmt::Write;

use super::verdict::{claim, figures, saved, sentence, staleness};
use super::words::{TWO_RATIOS, by_server_cpu, figure, ratio, standing, times};
use super::{closed_loops, replays};
use crate::results::{Results, Run, repeats};

/// The whole report.
pub(super) fn page(results: &Results) -> String {
    let mut text = String::from("# Larder benchmark\n\n");
    if let Some(why) = &results.broken_off {
        let _ = writeln!(text, "**Broken off**: {}. What follows is no claim.\n", clean(why));
    }
    if !results.verdicts.is_empty() {
        verdicts(&mut text, results);
    } else {
        for summary in &results.summaries {
            let _ = writeln!(text, "* {}", clean(&figures(summary)));
        }
        text.push('\n');
    }
    for (cell, runs) in repeats(&results.runs) {
        let _ = writeln!(text, "## {}, {}\n", clean(&cell.label()), clean(&cell.workload));
        cell_table(&mut text, &runs);
    }
    let figures = results.summaries.iter();
    for summary in figures {
        let name = clean(&summary.cell.label());
        let _ = writeln!(text, "### {name}, {}: medians\n", clean(&summary.cell.workload));
        let _ = writeln!(
            text,
            "| figure | median ({} interval) |\n| --- | --- |",
            summary.confidence()
        );
        for metric in &summary.metrics {
            let _ = writeln!(text, "| {} | {} |", metric.name, figure(metric.value));
        }
        text.push('\n');
    }
    if !results.events.is_empty() {
        events(&mut text, results);
    }
    curve(&mut text, results);
    ratios(&mut text, results);
    others(&mut text, "Recorded sequences", replays(results));
    others(&mut text, "Closed loops", closed_loops(results));
    if !results.checks.is_empty() {
        let _ = writeln!(text, "## What must hold\n\n| | what | found |\n| --- | --- | --- |");
        for check in &results.checks {
            let strong = if check.holds { "" } else { "**" };
            let word = check.words();
            let (name, found) = (clean(&check.name), clean(&check.found));
            let _ = writeln!(text, "| {strong}{word}{strong} | {name} | {found} |");
        }
        text.push('\n');
    }
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "{}, {} cores; {}, {}; {}. `{}`",
        clean(&machine.cpu),
        machine.cores,
        machine.postgres,
        machine.redis,
        results.data_set,
        results.command.replace('`', "'")
    );
    text
}

fn verdicts(text: &mut String, results: &Results) {
    if results.quick {
        text.push_str("**A quick look, not a claim**: `make bench-full` makes claims.\n\n");
    }
    for verdict in results.headlines() {
        let (said, claim) = (sentence(verdict), claim(verdict, results));
        let _ = writeln!(text, "> {} ({claim})\n", clean(&said));
    }
    if let Some(headline) = &results.headline {
        let _ = writeln!(text, "Chosen before anything was measured: {}.\n", headline.chosen());
    }
    text.push_str(
        "| strategy | load | database queries saved, of what was possible | times as fast (mean) | (p99) | staleness p99, \
         longest | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for verdict in &results.verdicts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            clean(&verdict.cell.label()),
            clean(&verdict.cell.workload),
            saved(verdict),
            times(verdict.times_faster_mean),
            times(verdict.times_faster_p99),
            staleness(verdict),
            claim(verdict, results)
        );
    }
    text.push('\n');
}

fn cell_table(text: &mut String, runs: &[&Run]) {
    text.push_str(
        "| repeat | requests | errors | answered/s | mean ms | p99 ms | queries counted | by Postgres \
         | relay | loads | floor | L1 | L2 | again |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let ratio = |ratio: Option<f64>| ratio.map_or(String::new(), |ratio| format!("{ratio:.3}"));
    for run in runs {
        let queries = &run.db_queries;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {} | {} | {} | {} | {} | {} | {} | {} |",
            run.repeat,
            run.requests,
            run.errors,
            run.achieved_rps,
            run.latency_ms.mean,
            run.latency_ms.p99,
            queries.counted,
            queries.pg_stat_statements,
            queries.relay,
            queries.loads,
            queries.floor.map_or(String::new(), |floor| floor.to_string()),
            ratio(run.hit_ratio.l1),
            ratio(run.hit_ratio.l2),
            again(run),
        );
    }
    text.push('\n');
}

/// The command line that makes a run again.
fn again(run: &Run) -> String {
    run.command.as_ref().map_or(String::new(), |command| format!("`{}`", clean(command)))
}

fn curve(text: &mut String, results: &Results) {
    if results.curve.is_empty() {
        return;
    }
    text.push_str(
        "## Response time against throughput\n\n| strategy | offered/s | answered/s | mean ms | p99 ms | \
         errors | repeats (interval) | |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for point in &results.curve {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} ({}) | {} |",
            clean(&point.cell.label()),
            point.offered_rps.map_or_else(|| "the most".to_owned(), |rate| format!("{rate:.0}")),
            figure(point.achieved_rps),
            figure(point.mean_ms),
            figure(point.p99_ms),
            point.errors,
            point.repeats,
            point.mean_ms.confidence(),
            if point.claim && results.can_claim() { "claim" } else { "no claim" },
        );
    }
    text.push('\n');
    others(text, "Each run of the curves", results.runs.iter().filter(|run| run.is_of_a_curve()));
}

fn ratios(text: &mut String, results: &Results) {
    if results.ratios.is_empty() {
        return;
    }
    let _ = writeln!(
        text,
        "## Ratios\n\n{TWO_RATIOS}\n\n| what | by throughput | by server CPU | bar (throughput) | rounds \
         (interval) |\n| --- | --- | --- | --- | --- |"
    );
    for one in &results.ratios {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} ({}) |",
            clean(&one.name),
            ratio(one.ratio),
            by_server_cpu(one),
            standing(one),
            one.numerator_rps.len(),
            one.ratio.confidence(),
        );
    }
    text.push('\n');
}

/// Runs outside a comparison.
fn others<'a>(text: &mut String, title: &str, runs: impl Iterator<Item = &'a Run>) {
    let mut runs = runs.peekable();
    if runs.peek().is_none() {
        return;
    }
    let _ = writeln!(
        text,
        "## {title}\n\n| strategy | load | requests | errors | offered/s | answered/s | mean ms | p99 ms | \
         queries counted | by Postgres | loads | floor | again |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    for run in runs {
        let (queries, latency) = (&run.db_queries, &run.latency_ms);
        let _ = writeln!(
            text,
            "| {} {} | {} | {} | {} | {} | {:.0} | {:.2} | {:.2} | {} | {} | {} | {} | {} |",
            run.strategy,
            run.tiers,
            clean(&run.workload),
            run.requests,
            run.errors,
            run.offered_rps.map_or(String::new(), |rate| format!("{rate:.0}")),
            run.achieved_rps,
            latency.mean,
            latency.p99,
            queries.counted,
            queries.pg_stat_statements,
            queries.loads,
            queries.floor.map_or(String::new(), |floor| floor.to_string()),
            again(run),
        );
    }
    text.push('\n');
}

fn events(text: &mut String, results: &Results) {
    text.push_str("## What a restart and a lost server cost\n\n");
    super::events::markdown(text, results, clean);
    text.push_str(
        "| what | strategy | queries undisturbed | with it \
         | cost | errors | p99 ms |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for event in &results.events {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {:.1} |",
            event.name,
            clean(&event.cell.label()),
            event.steady_queries,
            event.queries,
            event.cost_queries,
            event.errors,
            event.p99_ms
        );
    }
    text.push('\n');
}

/// What would end a cell, or be markup, is neither.
fn clean(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('`', "'")
}
