use super::*;
use crate::measure::{Cpu, Interval};
use crate::results::{Check, DbQueries, HitRatio, LatencyMs, Machine};

fn run(strategy: &str, offered: Option<f64>, floor: Option<u64>) -> Run {
    Run {
        strategy: strategy.to_owned(),
        tiers: "l2".into(),
        workload: "open loop".into(),
        replicas: 1,
        requests: 1_000,
        errors: 0,
        shed: 0,
        offered_rps: offered,
        achieved_rps: offered.unwrap_or(900.0),
        latency_ms: LatencyMs { mean: 1.5, p50: 1.0, p90: 2.0, p99: 3.0, p999: 4.0, max: 5.0 },
        db_queries: DbQueries {
            counted: 77,
            pg_stat_statements: 77,
            floor,
            loads: 77,
            unknown: 0,
            failed: 0,
        },
        redis_round_trips: 1_077,
        hit_ratio: HitRatio { l1: None, l2: Some(0.923) },
        staleness_ms: None,
        stale_reads: None,
        cpu_seconds: Cpu::default(),
        rss_bytes: 1,
        pacing_p99_ms: Some(0.1),
    }
}

fn results() -> Results {
    Results {
        command: "larder-bench <script>alert(1)</script>".into(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        machine: Machine {
            cpu: "\"quoted\" & <b>bold</b>".into(),
            cores: 2,
            memory_bytes: 1 << 30,
            kernel: "6".into(),
            postgres: "PostgreSQL 15".into(),
            redis: "Redis 7".into(),
            larder: "0".into(),
        },
        data_set: "data".into(),
        statement: "SELECT '</pre><img src=x>'".into(),
        statement_mean_ms: Some(2.5),
        runs: vec![
            run("none", Some(100.0), None),
            run("none", Some(200.0), None),
            run("cache-aside", Some(2_000.0), None),
            run("cache-aside", None, Some(77)),
        ],
        ratios: vec![Ratio {
            name: "cached page / no cache".into(),
            ratio: Interval { median: 23.4, low: 22.0, high: 25.0 },
            numerator_rps: vec![20_000.0],
            denominator_rps: vec![854.0],
            numerator_cpu_us: Cpu::default(),
            denominator_cpu_us: Cpu::default(),
            bar: Some(20.0),
        }],
        checks: vec![Check { name: "<i>".into(), found: "no".into(), holds: false }],
    }
}

#[test]
fn the_report_is_one_file_that_escapes_what_it_shows() {
    let text = page(&results()).into_string();
    for dangerous in ["<script", "<b>", "<img", "<i>", "http://", "https://", "url(", "@import"] {
        assert!(!text.contains(dangerous), "{dangerous}");
    }
    for shown in
        ["&lt;script&gt;", "23.40", "DOES NOT HOLD", "2.50 ms", "<svg", "polyline", "0.923"]
    {
        assert!(text.contains(shown), "{shown}");
    }
}

#[test]
fn a_report_without_runs_is_a_report() {
    let mut empty = results();
    (empty.runs, empty.ratios, empty.checks) = (Vec::new(), Vec::new(), Vec::new());
    let text = page(&empty).into_string();
    assert!(!text.contains("<svg") && text.contains("PostgreSQL 15"));
}

#[test]
fn results_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().expect("a folder");
    results().write(folder.path()).expect("writes");
    let read = Results::read(folder.path()).expect("reads");
    assert_eq!(
        serde_json::to_value(&read).expect("JSON"),
        serde_json::to_value(results()).expect("JSON")
    );
    let csv = std::fs::read_to_string(folder.path().join("results.csv")).expect("a file");
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.starts_with("strategy,tiers,workload,"), "{csv}");
}
