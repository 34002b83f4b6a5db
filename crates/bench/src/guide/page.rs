//! The document.

use std::fmt::Write as _;

use super::figures::{Watched, change, grouped};
use super::outcome::{Measured, StepResult};
use super::picture::{bar, picture};
use super::scenario::{Guide, Settings, Step};

/// The pictures, below the document's folder.
const QUERIES: &str = "images/step-by-step-queries.svg";
const OUTAGE: &str = "images/step-by-step-outage.svg";

/// The document and what belongs to it.
#[derive(Clone, Debug)]
pub struct Pages {
    /// The document, as Markdown.
    pub text: String,
    /// Its pictures: names below the document's folder, and what they hold.
    pub pictures: [(&'static str, String); 2],
}

/// The document of `guide` with the figures of `measured`; none where a step is missing, or was measured
/// under other settings.
#[must_use]
pub fn pages(guide: &Guide, measured: &Measured) -> Option<Pages> {
    let settings = guide.settings();
    let steps: Option<Vec<&StepResult>> = guide
        .steps
        .iter()
        .zip(&settings)
        .map(|(step, settings)| measured.step(&step.name).filter(|found| is_of(found, settings)))
        .collect();
    let steps = steps?;
    let mut text = String::new();
    head(&mut text, guide, measured);
    overview(&mut text, &steps);
    let mut before: (Option<&StepResult>, &Settings) = (None, &guide.settings);
    for (number, (step, (result, after))) in
        (1..).zip(guide.steps.iter().zip(steps.iter().zip(&settings)))
    {
        let _ = write!(text, "\n## {number}. {}\n\n{}\n", step.name, step.text.trim());
        difference(&mut text, step, before.1);
        effect(&mut text, step, before.0, result);
        before = (Some(result), after);
    }
    foretold(&mut text, guide, measured, &steps);
    let _ = write!(text, "\n{}\n", guide.conclusion.trim());
    let label = |number: usize, step: &StepResult| format!("{}. {}", number + 1, step.name);
    let queries = steps.iter().enumerate().map(|(number, step)| {
        let (calm, label) = (&step.calm, label(number, step));
        bar(label, calm.db_queries.loads, calm.other_queries(), calm.db_queries.floor)
    });
    let errors = steps
        .iter()
        .enumerate()
        .map(|(number, step)| bar(label(number, step), step.outage.errors, 0, None));
    let (queries, errors) = (queries.collect(), errors.collect());
    Some(Pages {
        text,
        pictures: [
            (QUERIES, picture("database queries after each step", queries)),
            (OUTAGE, picture("errors after each step, with Postgres away for a time", errors)),
        ],
    })
}

fn is_of(found: &StepResult, settings: &Settings) -> bool {
    found.settings.len() == settings.len()
        && settings.iter().all(|(key, value)| found.settings.get(key) == Some(&value.to_string()))
}

fn head(text: &mut String, guide: &Guide, measured: &Measured) {
    let Guide { traffic, run, .. } = guide;
    let machine = &measured.machine;
    let _ = write!(
        text,
        "# {}\n\n<!-- Made by `make guide` from crates/bench/scenarios/step-by-step.toml and \
         step-by-step.json. Change those. -->\n\n{}\n\n## What is asked for\n\n",
        guide.title,
        guide.introduction.trim()
    );
    let _ = write!(
        text,
        "* {} requests a second for product pages, to {} API processes in turn, at moments drawn \
         beforehand (an open loop): the {} most popular of {} products, by a Zipf law with exponent \
         {}. {} of them change a price.\n\
         * Every {} ms a crowd: {} requests at one moment for one product that nobody has asked for \
         before.\n\
         * Postgres is {} ms away (a proxy between holds back what passes), and an entry is fresh for \
         {} ms.\n\
         * First each popular product is asked for once, as after a deployment. Then {} s are \
         measured. Then another {} s, of which Postgres cannot be reached for {} s.\n\
         * Each step starts new processes with an empty cache and sends the same requests.\n\n",
        traffic.rate,
        run.replicas,
        grouped(traffic.products.into()),
        grouped(guide.data.products.into()),
        traffic.exponent,
        crate::report::percent(traffic.updates),
        traffic.crowds.every_ms,
        traffic.crowds.requests,
        run.db_latency_ms,
        guide.settings.get("ttl_ms").map_or_else(String::new, ToString::to_string),
        run.calm_seconds,
        run.outage_seconds,
        run.cut_seconds,
    );
    let _ = writeln!(
        text,
        "Queries are counted by the service and by Postgres (`pg_stat_statements`, for roles that \
         nobody else uses). The {} of the cache's answers beside which Postgres is asked how old they \
         are cost a query each, which neither column contains. Everything, the load generator \
         included, ran on {} cores of {} ({}, {}), on {}. It is one run: small differences \
         are chance.",
        crate::report::percent(run.sample),
        machine.cores,
        machine.cpu.trim(),
        machine.postgres,
        machine.redis,
        measured.measured_at.strftime("%-d %B %Y"),
    );
}

fn overview(text: &mut String, steps: &[&StepResult]) {
    let _ = write!(
        text,
        "\n## What came out\n\n![Database queries after each step]({QUERIES})\n\nThe dark part are \
         loads, which a cache can save; the red mark is the fewest with which any cache could have \
         answered these requests.\n\n\
         | step | queries | by Postgres | loads | fewest possible | within 250 ms, at most | waited \
         for Postgres | p50 | p99 | errors |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for (number, step) in (1..).zip(steps) {
        let calm = &step.calm;
        let _ = writeln!(
            text,
            "| {number}. {} | {} | {} | {} | {} | {} | {} of {} | {} | {} | {} |",
            step.name,
            grouped(calm.queries()),
            grouped(calm.queries_by_postgres()),
            grouped(calm.db_queries.loads),
            calm.db_queries.floor.map_or_else(|| "–".to_owned(), grouped),
            grouped(calm.busiest),
            grouped(calm.waited),
            grouped(calm.reads),
            Watched::P50.shown(calm.p50_ms),
            Watched::P99.shown(calm.p99_ms),
            grouped(calm.errors),
        );
    }
    let _ = write!(
        text,
        "\nWith Postgres away for a part of the time:\n\n![Errors after each step]({OUTAGE})\n\n\
         | step | requests | errors | stale answers, marked so | queries, counted | by Postgres | of \
         unknown outcome |\n| --- | --- | --- | --- | --- | --- | --- |\n"
    );
    for (number, step) in (1..).zip(steps) {
        let outage = &step.outage;
        let _ = writeln!(
            text,
            "| {number}. {} | {} | {} | {} | {} | {} | {} |",
            step.name,
            grouped(outage.requests),
            grouped(outage.errors),
            grouped(outage.stale_answers),
            grouped(outage.queries()),
            grouped(outage.queries_by_postgres()),
            grouped(outage.db_queries.unknown),
        );
    }
    text.push_str(
        "\nA query that Postgres left unanswered when it went, or while it was away, is of unknown outcome: \
         it may have been carried out, and counted.\n",
    );
    let doubtful = steps.iter().flat_map(|step| {
        let of = |part: &str, why: &Option<String>| {
            why.as_ref().map(|why| format!("* {}, {part}: {why}.\n", step.name))
        };
        [of("calm", &step.calm.not_certified), of("outage", &step.outage.not_certified)]
    });
    let doubtful: String = doubtful.flatten().collect();
    if !doubtful.is_empty() {
        let _ =
            write!(text, "\nFor these latencies the load generator does not vouch:\n\n{doubtful}");
    }
}

/// The settings that `step` changes, as `larder.toml` has them before and after.
fn difference(text: &mut String, step: &Step, before: &Settings) {
    text.push_str("\n```diff\n [namespaces.product-page]\n");
    for (key, value) in &step.set {
        match before.get(key) {
            Some(old) if old == value => {
                let _ = writeln!(text, " {key} = {value}");
                continue;
            }
            Some(old) => {
                let _ = writeln!(text, "-{key} = {old}");
            }
            None => {}
        }
        let _ = writeln!(text, "+{key} = {value}");
    }
    text.push_str("```\n\n");
}

fn effect(text: &mut String, step: &Step, before: Option<&StepResult>, after: &StepResult) {
    let Some(before) = before else {
        text.push_str("| | |\n| --- | --- |\n");
        for figure in Watched::ALL {
            let _ = writeln!(text, "| {} | {} |", figure.label(), figure.shown(figure.of(after)));
        }
        staleness(text, after);
        return;
    };
    for figure in &step.watch {
        let (was, is) = (figure.of(before), figure.of(after));
        let _ = writeln!(
            text,
            "* **{}: {} → {} ({})**",
            capitalised(figure.label()),
            figure.shown(was),
            figure.shown(is),
            change(was, is)
        );
    }
    text.push_str("\n| | before | after | |\n| --- | --- | --- | --- |\n");
    for figure in Watched::ALL {
        let (was, is) = (figure.of(before), figure.of(after));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            figure.label(),
            figure.shown(was),
            figure.shown(is),
            change(was, is)
        );
    }
    staleness(text, after);
}

fn staleness(text: &mut String, step: &StepResult) {
    let calm = &step.calm;
    let efficiency = calm.efficiency();
    if let Some(efficiency) = efficiency.filter(|_| step.calm.sampled_reads > 0) {
        let oldest = calm.staleness_ms.max.map_or_else(String::new, |oldest| {
            if calm.stale_reads > 0 {
                format!(", none by more than {oldest:.0} ms")
            } else {
                String::new()
            }
        });
        let _ = writeln!(
            text,
            "\nOf the loads, {} were needed by any cache. Of {} answers that were looked at, {} were \
             older than Postgres{oldest}.",
            crate::report::percent(efficiency),
            grouped(calm.sampled_reads),
            grouped(calm.stale_reads),
        );
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// Prediction beside measurement.
fn foretold(text: &mut String, guide: &Guide, measured: &Measured, steps: &[&StepResult]) {
    let ttl = guide.settings.get("ttl_ms").map_or_else(String::new, ToString::to_string);
    let _ = write!(
        text,
        "\n## Foretold and measured\n\n`larder-bench advise` was given a log of the first step (what was \
         asked for, when, and how long each answer took without a cache) and nothing else. It supposes \
         that loads are shared, and take no time. The fill is part of the log, and so of both columns. \
         `make guide` leaves the log in `target/larder-bench/guide/requests.csv`; `advise --ttl {ttl}ms`, \
         with `--jitter` as in the step, tells the same of it.\n\n\
         | step | loads foretold | loads measured | difference |\n| --- | --- | --- | --- |\n"
    );
    for (number, step) in (1..).zip(steps) {
        let Some(told) = measured.foretold.iter().find(|told| told.step == step.name) else {
            continue;
        };
        let loads = step.fill_loads + step.calm.db_queries.loads;
        let _ = writeln!(
            text,
            "| {number}. {} | {} | {} | {} |",
            step.name,
            grouped(told.loads),
            grouped(loads),
            change(told.loads as f64, loads as f64)
        );
    }
}
