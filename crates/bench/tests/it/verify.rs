//! The verifier on real processes: it finds nothing where nothing can be wrong, and much where
//! nobody invalidates.

use std::path::PathBuf;

use clap::Parser;
use larder_bench::bed::{Bed, api_beside_us};
use larder_bench::verify::check::Kind;
use larder_bench::verify::{self, Run, Verification, VerifyArgs};
use larder_stack::Topology;
use larder_stack::testing;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: VerifyArgs,
}

pub(crate) fn api(test: &str) -> Option<PathBuf> {
    if testing::skip_without_servers(test) {
        return None;
    }
    let api = api_beside_us().expect("our own path");
    if !api.exists() {
        let required = std::env::var_os(testing::REQUIRE_SERVERS).is_some();
        assert!(!required, "{} is missing", api.display());
        eprintln!("SKIPPED {test}: cargo build -p catalog-api first");
        return None;
    }
    Some(api)
}

/// A short run; the rates are for a debug build on a busy machine.
async fn run(test: &str, more: &[&str]) -> Option<(Run, Verification)> {
    let api = api(test)?;
    let postgres = testing::postgres().await;
    let redis = testing::redis_cluster(Topology::ThreeByZero).await;
    let database = postgres.database().await;
    let mut bed = Bed::given(database.admin_url.clone(), &redis.nodes(), api);
    let usual = ["verify", "--seconds=4", "--processes=2", "--rate=100", "--products=300"];
    let line = usual.iter().chain(&["--reviews=1000"]).chain(more);
    let Line { args } = Line::try_parse_from(line).expect("the options are valid");
    let found = Box::pin(verify::verify(&mut bed, &args, test.to_owned())).await;
    bed.stop().await;
    let found = found.expect("it runs");
    let run = found.runs.first().cloned().expect("one run");
    Some((run, found))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_cache_nothing_is_wrong() {
    let test = "without_a_cache_nothing_is_wrong";
    let more = ["--strategy=none", "--tiers=none"];
    let Some((run, found)) = run(test, &more).await else { return };
    assert!(run.violations.is_empty(), "{:?}", run.cases);
    assert!(run.reads.sent > 1_500 && run.transactions > 20, "{run:?}");
    assert!(run.reads.by_writers > 0 && run.reads.swept > 0, "{:?}", run.reads);
    // Written, and shown.
    let folder = tempfile::tempdir().expect("a folder");
    verify::write(&found, folder.path()).expect("writes");
    let json = std::fs::read(folder.path().join("verify.json")).expect("a result");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["runs"][0]["reads"]["sent"], run.reads.sent);
    assert!(verify::text(&found).contains("violations      none"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_coherent_is_not_wrong() {
    let test = "what_is_kept_coherent_is_not_wrong";
    // No bar of time here, on a machine that others use as well: only what must never be.
    let more = ["--strategy=read-through", "--late-link", "--bound-ms=5000"];
    let Some((run, _found)) = run(test, &more).await else { return };
    assert!(run.violations.is_empty(), "{:?} {:?}", run.violations, run.cases);
    assert!(run.reads.by_writers > 0 && run.transactions > 20, "{run:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promise_that_is_broken_on_purpose_is_found_broken() {
    let test = "a_promise_that_is_broken_on_purpose_is_found_broken";
    for sabotage in ["--sabotage=forgetful", "--sabotage=deaf"] {
        let Some((run, found)) = run(test, &["--strategy=read-through", sabotage]).await else {
            return;
        };
        assert!(!found.holds, "{sabotage}");
        let stale = [Kind::Stale, Kind::WentBack, Kind::Resurrection];
        let violated = stale.iter().any(|kind| run.violations.contains_key(kind));
        assert!(violated, "{sabotage}: {:?}", run.violations);
        let case = run.cases.first().expect("it is told");
        assert!(!case.reads_around.is_empty() && !case.steps_around.is_empty(), "{case:?}");
        assert!(verify::text(&found).contains("DOES NOT HOLD"), "{sabotage}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_cache_that_nobody_invalidates_much_is_wrong() {
    let test = "with_a_cache_that_nobody_invalidates_much_is_wrong";
    let Some((run, found)) = run(test, &["--strategy=ttl"]).await else { return };
    assert!(!found.holds);
    let stale = [Kind::Stale, Kind::WentBack, Kind::Resurrection];
    assert!(stale.iter().any(|kind| run.violations.contains_key(kind)), "{:?}", run.violations);
    // Who says what he has seen gets nothing older all the same.
    assert!(!run.violations.contains_key(&Kind::ReadYourWrites), "{:?}", run.violations);
}
