//! Strategies × processes × loads on real servers: counted twice, against the floor of what was sent.

mod loads;

use larder_bench::bed::{Api, ApiSettings};
use larder_bench::commands::{self, Selection};
use larder_bench::compare::{Comparison, Finding};
use larder_bench::load::Spread;
use larder_bench::report;
use larder_bench::results::{Results, Run};
use larder_bench::scenario::{Contender, DataSet, Matrix, Must, Scenario, Workload};
use larder_bench::workload::Spec;

use crate::measurements::fixture;

fn matrix() -> Matrix {
    Matrix {
        replicas: vec![2],
        spread: Spread::RoundRobin,
        repeats: 2,
        fill: false,
        warm_up_seconds: 2.0,
        // What no cache at all carries in a debug build, too, while others use the machine.
        warm_up_rate: Some(80.0),
        seconds: 3.0,
        rates: vec![80.0],
        users: Vec::new(),
        think_ms: 0,
        sample: 0.5,
        events: Vec::new(),
        event_seconds: None,
    }
}

fn scenario(matrix: Matrix, updates: f64) -> Scenario {
    let scenario = Scenario::product_page(false);
    Scenario {
        data: DataSet { products: 300, reviews: 3_000 },
        workloads: vec![Workload {
            requests: Spec::Zipf { exponent: 0.99, updates },
            products: None,
            least_efficiency: None,
        }],
        curve: None,
        ratios: None,
        matrix: Some(matrix),
        must: Must { no_errors: true, within_pool: true, ..Must::default() },
        strategies: vec![
            Contender::none(),
            Contender::cache_aside(),
            Contender::new("read-through", "l1+l2"),
        ],
        ..scenario
    }
}

async fn run(test: &str, scenario: &Scenario) -> Option<Results> {
    let mut fixture = fixture(test).await?;
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    let selection = Selection::default();
    commands::matrix(&mut fixture.session, scenario, "test.toml", &selection)
        .await
        .expect("measures");
    Some(fixture.end().await)
}

fn of<'a>(results: &'a Results, strategy: &str) -> Vec<&'a Run> {
    results.runs.iter().filter(|run| run.strategy == strategy).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strategies_are_measured_in_turn_and_counted_twice() {
    let test = "strategies_are_measured_in_turn_and_counted_twice";
    let Some(results) = run(test, &scenario(matrix(), 0.1)).await else { return };
    let order: Vec<(&str, u32)> =
        results.runs.iter().map(|run| (run.strategy.as_str(), run.repeat)).collect();
    let names = ["none", "cache-aside", "read-through"];
    let turns: Vec<(&str, u32)> =
        [1, 2].into_iter().flat_map(|repeat| names.map(|name| (name, repeat))).collect();
    assert_eq!(order, turns);
    for run in &results.runs {
        let queries = &run.db_queries;
        assert_eq!(queries.counted, queries.pg_stat_statements, "{run:?}");
        assert_eq!((run.replicas, run.errors), (2, 0), "{run:?}");
        assert!(queries.floor.is_some_and(|floor| floor <= queries.loads), "{run:?}");
        assert!(run.db_rows > 0 && run.db_connections.peak > 0, "{run:?}");
        assert!(run.memory.api_peak_bytes > 1_000_000, "{run:?}");
        let named = |name: &str| run.processes.iter().any(|one| one.name.starts_with(name));
        assert!(["api-0", "api-1", "postgres", "redis-", "generator"].into_iter().all(named));
        assert!(run.cpu_seconds.api > 0.0 && run.cpu_seconds.postgres > 0.0, "{run:?}");
        assert!(run.command.as_ref().is_some_and(|text| text.contains("--repeat")), "{run:?}");
    }
    for run in of(&results, "none") {
        // Each write is a transaction of several statements, each read is a load.
        assert!(run.db_queries.loads < run.requests && run.hit_ratio.l2.is_none(), "{run:?}");
        assert_eq!((run.staleness_ms.max, run.stale_reads), (Some(0.0), Some(0)), "{run:?}");
    }
    for run in of(&results, "read-through") {
        assert!(run.hit_ratio.l1.is_some_and(|ratio| ratio > 0.0), "{run:?}");
        assert!(run.sampled_reads.is_some_and(|sampled| sampled > 10), "{run:?}");
        assert!(run.redis_bytes > 1_000 && run.memory.l2_bytes.is_some(), "{run:?}");
    }
    // The same requests for everybody, others in the next repeat.
    let requests = |repeat: u32| -> Vec<u64> {
        results.runs.iter().filter(|run| run.repeat == repeat).map(|run| run.requests).collect()
    };
    assert_eq!(requests(1), vec![requests(1)[0]; 3]);
    assert_ne!(requests(1), requests(2));

    assert_eq!(results.verdicts.len(), 2);
    let about: Vec<&str> = results.headlines().map(|one| one.cell.strategy.as_str()).collect();
    assert_eq!(about, ["cache-aside"], "the first that hears of writes, for none is named");
    for verdict in &results.verdicts {
        assert!(verdict.queries_saved.is_some_and(|saved| saved.median > 0.3), "{verdict:?}");
        assert!(!verdict.claim, "two repeats are too few");
    }
    let compared = Comparison::of(&results, &results, 0.1).expect("the same cells");
    assert_eq!((compared.cells.len(), compared.regressions()), (3, 0));
    let figures = compared.cells.iter().flat_map(|cell| &cell.figures);
    assert!(figures.into_iter().all(|figure| figure.finding == Finding::Same));
    let folder = tempfile::tempdir().expect("a folder");
    results.write(folder.path()).expect("writes");
    report::write(&Results::read(folder.path()).expect("reads"), folder.path()).expect("writes");
    compared_by_command(&results);
    for (file, shown) in [
        ("report.html", "database queries saved"),
        ("report.md", "| read-through l1+l2, 2 processes |"),
        ("results.csv", "read-through,l1+l2,\"Zipf 0.99, 10 % writes, 80/s\",2,"),
    ] {
        let text = std::fs::read_to_string(folder.path().join(file)).expect("a file");
        assert!(text.contains(shown), "{file} has no {shown}");
    }
}

/// `compare` ends with 0 or 1, `report` rebuilds the page: on these results, each run six times.
fn compared_by_command(results: &Results) {
    let ended = |arguments: [&std::path::Path; 3]| {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_larder-bench"))
            .args(arguments.into_iter().filter(|argument| !argument.as_os_str().is_empty()))
            .output()
            .expect("runs");
        (program.status.code(), String::from_utf8_lossy(&program.stdout).into_owned())
    };
    let first = results.runs.iter().filter(|run| run.repeat == 1);
    let six = first.flat_map(|run| (1..=6).map(|repeat| Run { repeat, ..run.clone() }));
    let before = Results { runs: six.collect(), ..results.clone() };
    let mut after = before.clone();
    for run in &mut after.runs {
        run.latency_ms.p99 *= 2.0;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    before.write(&old).expect("writes");
    after.write(&new).expect("writes");
    let (code, said) = ended(["compare".as_ref(), &old, &new]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("p99_ms") && said.contains("WORSE"), "{said}");
    assert!(said.contains("3 figures are worse"), "{said}");
    assert_eq!(ended(["compare".as_ref(), &new, &old]).0, Some(0));
    assert_eq!(ended(["compare".as_ref(), &old, &old]).0, Some(0));
    let less = folder.path().join("less");
    let mut fewer = before.clone();
    fewer.runs.retain(|run| run.strategy != "none");
    fewer.write(&less).expect("writes");
    let (code, said) = ended(["compare".as_ref(), &old, &less]);
    assert!(code == Some(1) && said.contains("1 cells are MISSING after"), "{said}");
    assert_eq!(ended(["compare".as_ref(), &less, &old]).0, Some(0));
    for run in &mut fewer.runs {
        run.planned_seconds = Some(9.0);
    }
    fewer.write(&less).expect("writes");
    assert_eq!(ended(["compare".as_ref(), &old, &less]).0, Some(65));
    let smaller = Results { data_set: "another catalogue".into(), ..before };
    smaller.write(&less).expect("writes");
    assert_eq!(ended(["compare".as_ref(), &old, &less]).0, Some(65));
    let (code, said) = ended(["report".as_ref(), &old, "".as_ref()]);
    assert_eq!(code, Some(0), "{said}");
    assert!(old.join("report.html").exists() && old.join("report.md").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_writes_each_key_is_loaded_once_by_all_processes_together() {
    let test = "without_writes_each_key_is_loaded_once_by_all_processes_together";
    let cold =
        Matrix { replicas: vec![3], repeats: 1, warm_up_seconds: 0.0, sample: 0.0, ..matrix() };
    let mut scenario = scenario(cold, 0.0);
    scenario.strategies = vec![Contender::new("read-through", "l1+l2")];
    scenario.workloads[0].least_efficiency = Some(0.99);
    let Some(results) = run(test, &scenario).await else { return };
    let [run] = of(&results, "read-through")[..] else { panic!("{:?}", results.runs) };
    assert!(run.query_efficiency.is_some_and(|efficiency| efficiency >= 0.99), "{run:?}");
    let checked = results.checks.iter().filter(|check| check.name.contains("query efficiency"));
    assert_eq!(checked.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_up_leaves_the_same_to_all_strategies() {
    let test = "a_warm_up_leaves_the_same_to_all_strategies";
    let matrix = Matrix { repeats: 1, sample: 0.0, ..matrix() };
    let Some(results) = run(test, &scenario(matrix, 0.0)).await else { return };
    // Without writes and without a time to live the floor is what was asked for and is not there yet: what the
    // warm-up left, and nothing else, decides of it.
    let floors: Vec<Option<u64>> = results.runs.iter().map(|run| run.db_queries.floor).collect();
    assert_eq!(floors, [floors[0]; 3]);
    assert!(floors[0].is_some_and(|floor| floor > 10), "{floors:?}");
    let hits = |run: &Run| run.hits as f64 / run.requests as f64;
    for run in &results.runs[1..] {
        assert!(hits(run) > 0.3, "{run:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_far_away_is_slow_and_every_result_says_so() {
    let test = "a_database_that_is_far_away_is_slow_and_every_result_says_so";
    let Some(mut fixture) = fixture(test).await else { return };
    let latency = std::time::Duration::from_millis(20);
    fixture.session.bed.delay_database(latency).await.expect("a proxy");
    let near = Matrix { repeats: 1, replicas: vec![1], rates: vec![40.0], ..matrix() };
    let mut scenario = scenario(near, 0.0);
    scenario.strategies.truncate(1);
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    let selection = Selection::default();
    commands::matrix(&mut fixture.session, &scenario, "test.toml", &selection)
        .await
        .expect("measures");
    let results = fixture.end().await;
    let [run] = &results.runs[..] else { panic!("{:?}", results.runs) };
    assert_eq!(run.db_latency_ms, Some(20.0));
    assert!(run.latency_ms.p50 >= 20.0, "{run:?}");
    assert!(results.summaries[0].cell.label().contains("database 20 ms away"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_late_in_a_run_keeps_what_was_measured_before() {
    let test = "an_error_late_in_a_run_keeps_what_was_measured_before";
    let Some(mut fixture) = fixture(test).await else { return };
    let short = Matrix { repeats: 1, replicas: vec![1], seconds: 1.0, sample: 0.0, ..matrix() };
    let mut scenario = scenario(short, 0.0);
    // No process starts under it.
    scenario.strategies = vec![Contender::none(), Contender::new("magic", "l2")];
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    let selection = Selection::default();
    let ended = commands::matrix(&mut fixture.session, &scenario, "test.toml", &selection).await;
    let error = ended.expect_err("there is no such strategy");
    fixture.session.broken_off(format!("{error:#}"));
    let results = fixture.end().await;
    assert_eq!(of(&results, "none").len(), 1);
    assert_eq!((results.summaries.len(), results.summaries[0].claim), (1, false));
    let folder = tempfile::tempdir().expect("a folder");
    results.write(folder.path()).expect("writes");
    let read = Results::read(folder.path()).expect("reads");
    assert!(read.broken_off.is_some_and(|why| why.contains("did not start")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_takes_as_many_connections_as_the_load_opens() {
    let test = "a_process_takes_as_many_connections_as_the_load_opens";
    let Some(mut fixture) = fixture(test).await else { return };
    let data = DataSet { products: 300, reviews: 3_000 };
    fixture.session.catalogue(data, 1).await.expect("fills");
    let session = &fixture.session;
    let settings = ApiSettings {
        connections: 12_000,
        ..session.settings(&Contender::none(), session.bed.admin_url())
    };
    let api = Api::start(&session.bed, settings).await.expect("starts");
    let config = api.client().fetch("/admin/config").await.expect("answers");
    let config: serde_json::Value = serde_json::from_slice(&config).expect("JSON");
    let most = config["server"]["max_connections"].as_u64();
    assert!(most.is_some_and(|most| most >= 24_000), "{most:?}");
    drop(api);
    fixture.end().await;
}
