//! Curves, ratios and replays, in small, with both counts of statements agreeing throughout.

use std::path::PathBuf;

use larder::Eviction;
use larder_bench::bed::{Bed, api_beside_us};
use larder_bench::commands::{self, CurveChoice, Predict, Replay, Retail, Session, Stock};
use larder_bench::load::Keys;
use larder_bench::report;
use larder_bench::results::Results;
use larder_bench::scenario::{Contender, DataSet, Rounds, Scenario};
use larder_bench::trace::{Format, Trace};
use larder_stack::Topology;
use larder_stack::testing::{self, TestDatabase, TestPostgres, TestRedis, data_file};

/// Dropped in this order: what is measured, its database, the servers.
pub(crate) struct Fixture {
    pub(crate) session: Session,
    _database: TestDatabase,
    _redis: TestRedis,
    _postgres: TestPostgres,
}

pub(crate) async fn fixture(test: &str) -> Option<Fixture> {
    if testing::skip_without_servers(test) {
        return None;
    }
    let api = api_beside_us().expect("our own path");
    if !api.exists() {
        assert!(
            std::env::var_os(testing::REQUIRE_SERVERS).is_none(),
            "{} is missing",
            api.display()
        );
        eprintln!("SKIPPED {test}: cargo build -p catalog-api first");
        return None;
    }
    let postgres = testing::postgres().await;
    let redis = testing::redis_cluster(Topology::ThreeByZero).await;
    let database = postgres.database().await;
    let bed = Bed::given(database.admin_url.clone(), &redis.nodes(), api);
    let session = Session::begin(bed, "a test".into()).await.map_err(|(_, error)| error);
    let session = session.expect("the servers answer");
    Some(Fixture { session, _database: database, _redis: redis, _postgres: postgres })
}

impl Fixture {
    /// Ends the measurement; what was found.
    async fn ended(self) -> Results {
        self.session.bed.stop().await;
        self.session.results().clone()
    }

    /// The same, if all holds that must.
    pub(crate) async fn end(self) -> Results {
        let results = self.ended().await;
        for check in &results.checks {
            assert!(check.holds, "{}: {}", check.name, check.found);
        }
        results
    }
}

fn small() -> Scenario {
    let mut scenario = Scenario::product_page(false);
    scenario.data = DataSet { products: 300, reviews: 3_000 };
    scenario.load.connections = 8;
    let curve = scenario.curve.as_mut().expect("it has one");
    curve.warm_up_seconds = 0.5;
    curve.saturation_seconds = 0.5;
    curve.seconds = 0.5;
    curve.fractions = vec![0.5];
    curve.repeats = 2;
    scenario
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_curve_has_every_strategy_at_the_same_rates() {
    let Some(mut fixture) = fixture("a_curve_has_every_strategy_at_the_same_rates").await else {
        return;
    };
    let scenario = small();
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    let all = CurveChoice::default();
    commands::curve(&mut fixture.session, &scenario, "page.toml", &all).await.expect("measures");
    let results = fixture.end().await;
    let offered = |strategy: &str| -> Vec<f64> {
        let points = results.curve.iter().filter(|point| point.cell.strategy == strategy);
        points.filter_map(|point| point.offered_rps).collect()
    };
    let base = offered("none");
    assert_eq!(base.len(), 1);
    for strategy in ["cache-aside", "ttl"] {
        assert_eq!(offered(strategy).len(), 2);
        assert!(offered(strategy).contains(&base[0]), "{strategy} at the rate of none");
    }
    // All in turn, and then all again: the most that each carries, and its rates.
    assert!(results.curve.iter().all(|point| point.repeats == 2), "{:?}", results.curve);
    let turns: Vec<(&str, u32)> = results
        .runs
        .iter()
        .filter(|run| run.is_of_a_curve() && run.offered_rps.is_none())
        .map(|run| (run.strategy.as_str(), run.curve_repeat))
        .collect();
    let names = ["none", "cache-aside", "ttl", "read-through"];
    let expected: Vec<(&str, u32)> =
        [1, 2].into_iter().flat_map(|repeat| names.map(|name| (name, repeat))).collect();
    assert_eq!(turns, expected);
    let last = results.runs.last().and_then(|run| run.command.as_deref()).expect("a command");
    assert!(last.starts_with("larder-bench run page.toml --part curve --only read-through/l1+l2"));
    assert!(results.runs.iter().all(|run| run.command.is_some()), "{:?}", results.runs);
    assert!(results.statement_mean_ms.is_some_and(|mean| mean > 0.0));
    for run in &results.runs {
        let (queries, cached) = (&run.db_queries, run.strategy != "none");
        assert_eq!(run.errors, 0, "{run:?}");
        assert_eq!(queries.counted, queries.pg_stat_statements, "{run:?}");
        assert_eq!(run.hit_ratio.l2.is_some(), cached, "{run:?}");
        if !cached {
            assert_eq!(queries.loads, run.requests, "{run:?}");
        }
    }
    // Written, read again, and shown.
    let folder = tempfile::tempdir().expect("a folder");
    results.write(folder.path()).expect("writes");
    let read = Results::read(folder.path()).expect("reads");
    report::write(&read, folder.path()).expect("writes");
    let shown = std::fs::read_to_string(folder.path().join("report.html")).expect("a report");
    assert!(
        shown.contains("<svg") && shown.contains("cache-aside") && shown.contains("WITH RECURSIVE")
    );
}

/// The ratios' own bars are for release builds on a quiet machine; here only the method counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ratios_come_from_paired_rounds_in_which_nothing_is_loaded() {
    let test = "ratios_come_from_paired_rounds_in_which_nothing_is_loaded";
    let Some(mut fixture) = fixture(test).await else { return };
    let mut scenario = small();
    scenario.ratios = Some(Rounds { rounds: 3, seconds: 0.3, draws: 500 });
    fixture.session.catalogue(scenario.data, 1).await.expect("fills");
    commands::ratios(&mut fixture.session, &scenario, "page.toml").await.expect("measures");
    fixture.session.bed.stop().await;
    let results = fixture.session.results();
    assert_eq!(results.ratios.len(), 5);
    for ratio in &results.ratios {
        assert_eq!((ratio.numerator_rps.len(), ratio.denominator_rps.len()), (3, 3));
        assert!(ratio.ratio.low <= ratio.ratio.median && ratio.ratio.median <= ratio.ratio.high);
        assert!(ratio.numerator_cpu_us.api > 0.0);
        let by_cpu = ratio.by_server_cpu.expect("every side used some");
        assert!(by_cpu.low <= by_cpu.median && by_cpu.median <= by_cpu.high && by_cpu.low > 0.0);
        assert_eq!(ratio.bar.is_some(), ratio.standing.is_some());
    }
    let command = Some("larder-bench run page.toml --part ratios");
    assert!(results.runs.iter().all(|run| run.command.as_deref() == command), "{:?}", results.runs);
    let loads = results.checks.iter().find(|check| check.name.contains("load nothing"));
    assert!(loads.is_some_and(|check| check.holds), "{:?}", results.checks);
}

async fn replay(test: &str, trace: PathBuf, format: Format, limit: usize, connections: usize) {
    let Some(mut fixture) = fixture(test).await else { return };
    let contender = Contender::cache_aside();
    let data = DataSet { products: 0, reviews: 0 };
    let mut replay = Replay { trace, format, limit, connections, contender, data };
    let trace = replay.read().expect("reads");
    replay.data = DataSet { products: trace.distinct, reviews: trace.distinct };
    fixture.session.catalogue(replay.data, trace.distinct).await.expect("fills");
    commands::replay(&mut fixture.session, &replay, &trace).await.expect("replays");
    let results = fixture.end().await;
    let run = &results.runs[0];
    let command = run.command.as_deref().expect("a command");
    let wanted = format!("--strategy cache-aside --tiers l2 --connections {connections} --limit");
    assert!(command.starts_with("larder-bench replay --trace ") && command.contains(&wanted));
    assert_eq!(run.requests as usize, trace.requests.len());
    assert!(run.db_queries.loads >= u64::from(trace.distinct));
    assert_eq!(run.db_queries.floor, Some(u64::from(trace.distinct)));
    if connections == 1 {
        assert_eq!(results.checks.len(), 2, "{:?}", results.checks);
        assert_eq!(run.db_queries.loads, u64::from(trace.distinct));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_at_a_time_each_key_of_the_recorded_trace_is_loaded_once() {
    let test = "one_at_a_time_each_key_of_the_recorded_trace_is_loaded_once";
    let Some(trace) = data_file(test, "traces/web07.trace.xz") else { return };
    // The whole trace is replayed by `make bench`, whose release build takes a minute for it.
    replay(test, trace, Format::Cache2k, 15_000, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_a_time_a_key_may_be_loaded_twice_but_never_less_than_once() {
    let test = "many_at_a_time_a_key_may_be_loaded_twice_but_never_less_than_once";
    let file = tempfile::NamedTempFile::with_suffix(".csv").expect("a file");
    let keys: String = (0..3_000).map(|n| format!("{}\n", (n * n) % 97)).collect();
    std::fs::write(file.path(), format!("key\n{keys}")).expect("writes");
    replay(test, file.path().to_owned(), Format::Csv, 0, 16).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_shops_orders_load_as_seldom_as_any_cache_could() {
    let test = "the_real_shops_orders_load_as_seldom_as_any_cache_could";
    let Some(file) = data_file(test, "online-retail/products.csv") else { return };
    let Some(mut fixture) = fixture(test).await else { return };
    let folder = file.parent().expect("a folder").to_owned();
    let contenders = vec![Contender::none(), Contender::cache_aside()];
    let retail = Retail { folder, limit: 500, looks: 5, contenders };
    commands::online_retail(&mut fixture.session, &retail).await.expect("replays");
    let results = fixture.end().await;
    let [none, cached] = &results.runs[..] else { panic!("{:?}", results.runs) };
    assert_eq!((none.requests, cached.requests), (3_000, 3_000));
    assert_eq!(none.db_queries.loads, 2_500);
    assert!(cached.db_queries.loads < 600, "{cached:?}");
    // Writes cost the same with and without a cache.
    let writes = |run: &larder_bench::results::Run| run.db_queries.counted - run.db_queries.loads;
    assert_eq!(writes(none), writes(cached));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_real_shops_stock_is_right_at_the_end_and_costs_few_statements_behind_a_journal() {
    let test = "the_real_shops_stock_is_right_at_the_end";
    let Some(file) = data_file(test, "online-retail/products.csv") else { return };
    let Some(mut fixture) = fixture(test).await else { return };
    let folder = file.parent().expect("a folder").to_owned();
    let of = |strategy: &str| Contender {
        strategy: strategy.to_owned(),
        tiers: "l2".to_owned(),
        ..Contender::none()
    };
    let contenders = vec![of("write-through"), of("write-behind")];
    let stock = Stock { folder, limit: 3_000, in_flight: 16, contenders };
    commands::stock(&mut fixture.session, &stock).await.expect("writes");
    let results = fixture.ended().await;
    // What depends on the pace of this machine is for the benchmark to say: which of the two answers
    // sooner, and how many writes share a statement.
    let by_pace = ["median response", "per 1,000 writes ≤"];
    let checks = results.checks.iter().filter(|c| !by_pace.iter().any(|p| c.name.contains(p)));
    let (held, broken): (Vec<_>, Vec<_>) = checks.partition(|check| check.holds);
    assert!(broken.is_empty() && held.len() == 5, "{broken:?} {held:?}");
    let [through, behind] = &results.runs[..] else { panic!("{:?}", results.runs) };
    let (through, behind) = (&through.db_queries, &behind.db_queries);
    assert!(behind.counted < through.counted, "{behind:?} {through:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn l1_loads_what_the_simulation_foretells() {
    let Some(mut fixture) = fixture("l1_loads_what_the_simulation_foretells").await else {
        return;
    };
    let trace = Trace::number(Keys::new((1..=3_000).collect(), 0.9, 7).draw(12_000));
    let predict = Predict {
        trace: PathBuf::from("drawn"),
        format: Format::Csv,
        limit: 0,
        sizes: vec![0.3],
        evictions: vec![Eviction::Lru, Eviction::S3Fifo],
    };
    commands::predict(&mut fixture.session, &predict, &trace).await.expect("measures");
    let results = fixture.end().await;
    assert_eq!((results.runs.len(), results.checks.len()), (2, 4));
    for run in &results.runs {
        assert_eq!((run.tiers.as_str(), run.requests), ("l1", 12_000));
        assert!(run.db_queries.loads > u64::from(trace.distinct), "{:?}", run.db_queries);
    }
}
