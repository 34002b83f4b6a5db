//! What is asked for, and when: users, fills, every kind of workload, recorded sequences, a process that ends.

use larder_bench::bed;
use larder_bench::commands::{self, Selection};
use larder_bench::compare::Comparison;
use larder_bench::load::Spread;
use larder_bench::results::{Check, Results, event_summaries};
use larder_bench::scenario::{Contender, DataSet, EventKind, Matrix, Scenario};
use larder_bench::workload::{Spec, Ycsb};

use super::{matrix, run, scenario};
use crate::measurements::fixture;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_ask_in_a_closed_loop_and_a_restart_costs_what_l1_held() {
    let test = "users_ask_in_a_closed_loop_and_a_restart_costs_what_l1_held";
    let events = vec![EventKind::RollingRestart];
    let warm_up_seconds = 1.0;
    // Fewer than a process loads for at once: none waits for its turn, and none is turned away, while the
    // first connections to Postgres are made.
    let together = 8;
    let short = Matrix { repeats: 1, users: vec![together], warm_up_seconds, ..matrix() };
    let matrix = Matrix { sample: 0.0, events, ..short };
    let mut scenario = scenario(matrix, 0.0);
    let tiers = |tiers: &str| Contender::new("read-through", tiers);
    scenario.strategies = vec![Contender::none(), tiers("l1"), tiers("l2")];
    let Some(results) = run(test, &scenario).await else { return };
    let users: Vec<Option<u32>> = results.runs.iter().map(|run| run.users).collect();
    assert_eq!(users, [None, None, None, Some(together), Some(together), Some(together)]);
    assert!(results.runs.iter().all(|run| run.errors == 0), "{:?}", results.runs);
    // Nothing happens to who keeps nothing.
    let happened: Vec<(&str, u32)> =
        results.events.iter().map(|event| (event.cell.tiers.as_str(), event.repeat)).collect();
    assert_eq!(happened, [("l1", 1), ("l2", 1)]);
    for event in &results.events {
        assert_eq!(event.errors, 0, "{event:?}");
        let queries = event.db_queries.expect("it was counted");
        assert_eq!(queries.counted, queries.pg_stat_statements, "{event:?}");
    }
    let costs = event_summaries(&results.events);
    let [l1, l2] = &costs[..] else { panic!("{costs:?}") };
    // What one process held in memory is loaded again; what Redis holds is not.
    assert!(l1.cost_queries.low > 20.0, "{l1:?}");
    assert!(l2.cost_queries.high <= 2.0 && !l2.claim, "{l2:?}");
    let summary = results.summaries.iter().find(|summary| summary.cell == l1.cell);
    let metric = summary.and_then(|summary| summary.metric("rolling_restart_queries"));
    assert_eq!(metric, Some(l1.cost_queries));
    // It is compared, too, and missed where it is not there any more.
    let same = Comparison::of(&results, &results, 0.1).expect("the same cells");
    let figures = same.cells.iter().flat_map(|cell| &cell.figures);
    let costs = figures.filter(|figure| figure.name == "rolling_restart_queries").count();
    assert_eq!((costs, same.vanished), (2, 0));
    let without = Results { events: Vec::new(), ..results.clone() };
    let missed = Comparison::of(&results, &without, 0.1).expect("the same cells");
    assert_eq!(missed.vanished, 2, "{:?}", missed.unmatched);
    let checked = |check: &&Check| check.name.contains("rolling-restart: both counts");
    assert_eq!(results.checks.iter().filter(checked).count(), 2, "{:?}", results.checks);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_filled_is_not_loaded_again() {
    let test = "what_was_filled_is_not_loaded_again";
    let filled = Matrix {
        replicas: vec![2],
        // Every process is filled, and each user asks one of them alone.
        spread: Spread::Sticky,
        repeats: 1,
        fill: true,
        warm_up_seconds: 0.0,
        warm_up_rate: None,
        rates: Vec::new(),
        users: vec![100],
        sample: 0.0,
        ..matrix()
    };
    let mut scenario = scenario(filled, 0.0);
    scenario.workloads[0].products = Some(100);
    scenario.strategies = vec![Contender::new("read-through", "l1+l2")];
    let Some(results) = run(test, &scenario).await else { return };
    let [run] = &results.runs[..] else { panic!("{:?}", results.runs) };
    assert_eq!(
        (run.db_queries.loads, run.db_queries.floor, run.errors),
        (0, Some(0), 0),
        "{run:?}"
    );
    assert!(run.requests > 500 && run.hit_ratio.l1 == Some(1.0), "{run:?}");
    // The service counted every request that the load generator did.
    assert_eq!(run.lookups.l1, run.requests, "{run:?}");
}

/// `make bench-workloads` in small.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_workload_is_answered_and_counted_twice() {
    let test = "every_kind_of_workload_is_answered_and_counted_twice";
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/workloads.toml");
    let mut scenario = Scenario::read(file.as_ref()).expect("a valid scenario");
    scenario.data = DataSet { products: 300, reviews: 3_000 };
    scenario.strategies = vec![Contender::new("read-through", "l1+l2")];
    let (replicas, rates) = (vec![1], vec![80.0]);
    let short = Matrix { repeats: 1, replicas, rates, warm_up_seconds: 0.5, ..matrix() };
    scenario.matrix = Some(Matrix { seconds: 1.5, sample: 0.0, ..short });
    let Some(results) = run(test, &scenario).await else { return };
    assert_eq!(results.runs.len(), scenario.workloads.len());
    for (run, workload) in results.runs.iter().zip(&scenario.workloads) {
        let queries = &run.db_queries;
        assert!(run.errors == 0 && run.requests > 60, "{run:?}");
        assert_eq!(queries.counted, queries.pg_stat_statements, "{run:?}");
        let floor = queries.floor;
        assert_eq!(floor.is_none(), workload.lists(), "{run:?}");
        assert!(floor.is_none_or(|floor| 0 < floor && floor <= queries.loads), "{run:?}");
        // A crawler is answered out of a cache what the warm-up happens to have left, and nothing else.
        if workload.requests == (Spec::Scan {}) {
            assert_eq!(floor.map(|floor| floor + run.hits), Some(run.requests), "{run:?}");
        }
    }
}

/// Makes products, and reads what is newest.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_load_has_made_is_not_there_when_the_next_one_begins() {
    let test = "what_a_load_has_made_is_not_there_when_the_next_one_begins";
    let Some(mut fixture) = fixture(test).await else { return };
    let short = Matrix { replicas: vec![1], warm_up_seconds: 0.5, seconds: 1.5, ..matrix() };
    let mut scenario = scenario(short, 0.0);
    scenario.workloads[0].requests = Spec::Ycsb { workload: Ycsb::D };
    scenario.strategies.truncate(1);
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    let url = fixture.session.bed.admin_url().to_owned();
    let before = bed::catalogue_size(&url).await.expect("answers");
    let first = bed::next_product_id(&url).await.expect("answers");
    commands::matrix(&mut fixture.session, &scenario, "test.toml", &Selection::default())
        .await
        .expect("measures");
    assert_eq!(bed::catalogue_size(&url).await.expect("answers"), before);
    let next = bed::next_product_id(&url).await.expect("answers");
    assert!(next > first, "it made some: {first} {next}");
    let results = fixture.end().await;
    assert!(results.runs.iter().all(|run| run.errors == 0), "{:?}", results.runs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_sequence_is_sent_at_its_times_and_each_key_loaded_once() {
    let test = "a_recorded_sequence_is_sent_at_its_times_and_each_key_loaded_once";
    let folder = tempfile::tempdir().expect("a folder");
    // Two seconds: 400 reads of 37 pages, of which three change in between.
    let line = |n: u32| {
        let op = if n % 150 == 149 { "write" } else { "read" };
        format!("{:.3},/p/{},{op}\n", f64::from(n) * 0.005, (n * n + n / 3) % 37)
    };
    let log: String = (0..400).map(line).collect();
    std::fs::write(folder.path().join("log.csv"), format!("time,key,op\n{log}")).expect("writes");
    let text = |pace: &str| {
        format!(
            "view = \"product-page\"\ndata = {{ products = 300, reviews = 3000 }}\n\
             load = {{ seed = 7, connections = 4 }}\nmatrix = {{ repeats = 1, replicas = [2] }}\n\
             must = {{ no_errors = true }}\n\
             workloads = [{{ requests = {{ kind = \"trace\", file = \"log.csv\", pace = {pace} }} }}]\n\
             strategies = [{{ strategy = \"cache-aside\", tiers = \"l2\" }}]\n"
        )
    };
    let Some(mut fixture) = fixture(test).await else { return };
    for pace in ["\"recorded\"", "{ scale = 0.5 }", "\"in-order\""] {
        let file = folder.path().join("scenario.toml");
        std::fs::write(&file, text(pace)).expect("writes");
        let scenario = Scenario::read(&file).expect("valid");
        fixture.session.catalogue(scenario.data, scenario.least_products()).await.expect("fills");
        let selection = Selection::default();
        commands::matrix(&mut fixture.session, &scenario, "scenario.toml", &selection)
            .await
            .expect("measures");
    }
    let results = fixture.end().await;
    let [recorded, slower, in_order] = &results.runs[..] else { panic!("{:?}", results.runs) };
    for run in &results.runs {
        assert_eq!((run.requests, run.errors), (400, 0), "{run:?}");
        let queries = &run.db_queries;
        assert_eq!(queries.counted, queries.pg_stat_statements, "{run:?}");
        assert!(
            queries.floor.is_some_and(|floor| (37..=queries.loads).contains(&floor)),
            "{run:?}"
        );
        assert!(run.workload.starts_with("replay of log.csv, "), "{run:?}");
    }
    // Never sooner than it was recorded; how much later is the machine's affair.
    assert!(recorded.seconds >= 1.9 && slower.seconds >= 3.9, "{recorded:?} {slower:?}");
    assert_eq!(recorded.offered_rps.map(f64::round), Some(201.0));
    assert_eq!((slower.offered_rps.map(f64::round), in_order.offered_rps), (Some(100.0), None));
}
