//! The report as Markdown, for a pull request or a wiki.

use std::fmt::Write;

use super::matrix::interval;
use super::verdict::{claim, headline, percent, sentence, staleness, times};
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
            let _ = writeln!(text, "* {}", clean(&sentence(summary)));
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
            let _ = writeln!(text, "| {} | {} |", metric.name, interval(metric.value));
        }
        text.push('\n');
    }
    if !results.events.is_empty() {
        events(&mut text, results);
    }
    if !results.checks.is_empty() {
        let _ = writeln!(text, "## What must hold\n\n| | what | found |\n| --- | --- | --- |");
        for check in &results.checks {
            let word = if check.holds { "holds" } else { "**does not hold**" };
            let _ = writeln!(text, "| {word} | {} | {} |", clean(&check.name), clean(&check.found));
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
    let _ = writeln!(text, "{}\n", clean(&headline(results)));
    text.push_str(
        "| strategy | load | database queries saved | times as fast (mean) | (p99) | staleness p99, \
         longest | |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for verdict in &results.verdicts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            clean(&verdict.cell.label()),
            clean(&verdict.cell.workload),
            percent(verdict.queries_saved),
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
            run.command.as_ref().map_or(String::new(), |command| format!("`{}`", clean(command))),
        );
    }
    text.push('\n');
}

fn events(text: &mut String, results: &Results) {
    text.push_str("## What a restart and a lost server cost\n\n");
    super::events::markdown(text, &results.events, clean);
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
