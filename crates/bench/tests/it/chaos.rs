//! Write-behind under faults, on real processes: nothing is lost, and what is lost on purpose is found.

use std::path::PathBuf;

use clap::Parser;
use larder_bench::bed::Bed;
use larder_bench::chaos::{self, Chaos, ChaosArgs};
use larder_stack::{Stack, StackError, StackOptions, Topology, testing};
use tempfile::TempDir;

use crate::verify::api;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: ChaosArgs,
}

fn args(more: &[&str]) -> ChaosArgs {
    let usual = ["chaos", "--processes=2", "--keys=3", "--products=200"];
    let line = usual.iter().chain(more);
    Line::try_parse_from(line).expect("the options are valid").args
}

/// On servers that others use, too: only processes can be killed.
async fn run(test: &str, more: &[&str]) -> Option<Chaos> {
    let api = api(test)?;
    let postgres = testing::postgres().await;
    let redis = testing::redis_cluster(Topology::ThreeByZero).await;
    let database = postgres.database().await;
    let bed = Bed::given(database.admin_url.clone(), &redis.nodes(), api);
    let found = chaos::chaos(&bed, &args(more), test.to_owned()).await;
    bed.stop().await;
    Some(found.expect("it runs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_are_killed_lose_nothing() {
    let test = "processes_that_are_killed_lose_nothing";
    let Some(found) = run(test, &["--faults=kill,crash", "--rounds=2"]).await else { return };
    assert!(found.holds, "{}", chaos::text(&found));
    // Random moments, and each of the named places.
    assert_eq!(found.faults.len(), 7);
    for of in &found.faults {
        assert!(of.journaled > 0 && of.reads > 0, "{of:?}");
    }
    let unknown: u64 = found.faults.iter().map(|of| of.unknown).sum();
    assert!(unknown > 0, "nobody was cut off: {}", chaos::text(&found));
    // Written, and shown.
    let folder = tempfile::tempdir().expect("a folder");
    chaos::write(&found, folder.path()).expect("writes");
    let json = std::fs::read(folder.path().join("results.json")).expect("a result");
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json["faults"][0]["acknowledged"], found.faults[0].acknowledged);
    assert!(chaos::text(&found).contains("all holds"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_off_the_journal_or_doubled_is_found() {
    let test = "what_is_taken_off_the_journal_or_doubled_is_found";
    for sabotage in ["lose", "twice"] {
        let option = format!("--sabotage={sabotage}");
        let Some(found) = run(test, &["--faults=kill", "--rounds=1", &option]).await else {
            return;
        };
        let of = &found.faults[0];
        let counted = if sabotage == "lose" { of.lost } else { of.twice };
        assert!(counted >= 1 && !found.holds, "{sabotage}: {}", chaos::text(&found));
        assert!(chaos::text(&found).contains("DOES NOT HOLD"), "{sabotage}");
    }
}

/// A bed on a stack of the test's own, which is deleted with it.
struct Fixture {
    bed: Bed,
    stack: Stack,
    _folder: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stack.down(true).expect("the stack stops");
    }
}

async fn owning(api: PathBuf) -> Fixture {
    use std::os::unix::fs::PermissionsExt;

    let mut tries = 0;
    loop {
        // The user Postgres runs as must be able to enter it.
        let all = std::fs::Permissions::from_mode(0o755);
        let folder = tempfile::Builder::new().permissions(all).tempdir().expect("a folder");
        let mut options = StackOptions::new(folder.path().join("state"));
        options.topology = Topology::ThreeByOne;
        options.postgres_port = testing::free_ports(1);
        options.redis_base_port = testing::free_ports(6);
        let stack = Stack::new(options);
        match stack.up().await {
            Ok(info) => {
                let bed = Bed::owning(stack.clone(), info, api).expect("it is up");
                return Fixture { bed, stack, _folder: folder };
            }
            // Another test was quicker.
            Err(StackError::PortTaken { .. }) if tries < 5 => tries += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_killed_lose_nothing() {
    let Some(api) = api("servers_that_are_killed_lose_nothing") else { return };
    let fixture = owning(api).await;
    let args = args(&["--faults=redis,postgres", "--server-rounds=1"]);
    let found = chaos::chaos(&fixture.bed, &args, "servers".to_owned()).await.expect("it runs");
    assert!(found.holds, "{}", chaos::text(&found));
    assert_eq!(found.faults.len(), 3);
    let longest = found.faults.iter().map(|of| of.longest_outage_ms).fold(0.0, f64::max);
    assert!(longest > 0.0, "{found:?}");
}
