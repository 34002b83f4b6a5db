//! Strategies × processes × loads on real servers: counted twice, against the floor of what was sent.

use larder_bench::bed::{self, Api, ApiSettings};
use larder_bench::commands::{self, Selection};
use larder_bench::compare::{Comparison, Finding};
use larder_bench::load::Spread;
use larder_bench::report;
use larder_bench::results::{Check, Results, Run, event_summaries};
use larder_bench::scenario::{Contender, DataSet, EventKind, Matrix, Must, Scenario, Workload};
use larder_bench::workload::{Spec, Ycsb};

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
