//! The step-by-step guide in small: counted twice, with an outage, and written.

use larder_bench::guide::{self, Guide};

use crate::measurements::fixture;

const GUIDE: &str = include_str!("../../scenarios/step-by-step.toml");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_measured_with_and_without_the_database_and_the_document_is_made_of_them() {
    let test = "steps_are_measured_with_and_without_the_database";
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guide.toml");
    let mut small = GUIDE.to_owned();
    for (full, small_) in [
        ("products = 20000", "products = 300"),
        ("reviews = 100000", "reviews = 3000"),
        ("connections = 384", "connections = 64"),
        ("rate = 400.0", "rate = 60.0"),
        ("products = 400", "products = 60"),
        ("every_ms = 250, requests = 40", "every_ms = 500, requests = 10"),
        ("replicas = 3", "replicas = 2"),
        ("db_latency_ms = 10.0", "db_latency_ms = 30.0"),
        ("calm_seconds = 14.0", "calm_seconds = 3.0"),
        ("outage_seconds = 7.0", "outage_seconds = 4.0"),
        ("cut_after_seconds = 2.0", "cut_after_seconds = 1.0"),
        ("cut_seconds = 3.0", "cut_seconds = 2.0"),
        ("ttl_ms = 5000", "ttl_ms = 1000"),
    ] {
        assert!(small.contains(full), "{full}");
        small = small.replacen(full, small_, 1);
    }
    std::fs::write(&file, small).expect("writes");
    let all = Guide::read(&file).expect("valid");
    let mut chosen = all.clone();
    let wanted = ["No cache", "Single-flight in each process", "Stale on error"];
    // What the steps in between set is set by the one after them.
    for (step, settings) in chosen.steps.iter_mut().zip(all.settings()) {
        step.set = settings;
    }
    chosen.steps.retain(|step| wanted.contains(&step.name.as_str()));
    let Some(mut fixture) = fixture(test).await else { return };
    let log = folder.path().join("requests.csv");
    let first = guide::measure(&mut fixture.session, &chosen, Some(&(1..=1)), None, &log).await;
    let first = first.expect("measures");
    let document = folder.path().join("guide.md");
    assert!(!guide::write(&chosen, &first, &document).expect("writes"), "two steps are missing");
    assert!(!document.exists());
    let rest =
        guide::measure(&mut fixture.session, &chosen, Some(&(2..=3)), Some(first), &log).await;
    let measured = rest.expect("measures");
    fixture.end().await;

    let [none, shared, stale] = &measured.steps[..] else { panic!("{measured:?}") };
    for step in &measured.steps {
        assert_eq!(step.calm.db_queries.counted, step.calm.db_queries.pg_stat_statements);
        assert_eq!(step.calm.requests, none.calm.requests, "the same requests: {step:?}");
        assert!(step.calm.db_queries.floor.is_some_and(|floor| floor > 0), "{step:?}");
        // Writes and pages that nobody had asked for fail in any step.
        assert!(step.outage.errors > 0, "{step:?}");
    }
    assert_eq!(none.calm.waited, none.calm.reads);
    assert!(shared.calm.db_queries.loads < none.calm.db_queries.loads, "{measured:?}");
    // What stands in for a load that fails is kept for that: without `stale_for` nothing is.
    let stood_in = [none, shared, stale].map(|step| step.outage.stale_answers);
    assert_eq!(stood_in[..2], [0, 0], "{measured:?}");
    assert!(stood_in[2] > 0, "{measured:?}");
    assert!(stale.outage.errors < none.outage.errors, "{measured:?}");
    // A log without a cache: every read is a load.
    let told: Vec<u64> = measured.foretold.iter().map(|told| told.loads).collect();
    assert_eq!(told[0], none.fill_loads + none.calm.reads);
    assert!(told[1] < told[0], "{told:?}");

    assert!(guide::write(&chosen, &measured, &document).expect("writes"));
    let kept = guide::earlier(&document).expect("reads").expect("figures are there");
    assert_eq!(kept, measured);
    let text = std::fs::read_to_string(&document).expect("reads");
    for part in ["## 1. No cache", "+stale_for_ms = 60000", "Foretold and measured"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(folder.path().join("images/step-by-step-queries.svg").exists());
}
