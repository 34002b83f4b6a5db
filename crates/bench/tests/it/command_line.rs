//! Bad input is named before any server is started.

use std::process::{Command, Output};

const QUICK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/quick.toml");
const CURVES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/product-page-quick.toml");

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/product-page-quick.toml");

const EVENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/memory-or-distributed.toml");

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/step-by-step.toml");

fn without_comments(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.starts_with('#'));
    kept.map(|line| format!("{line}\n")).collect()
}

fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_larder-bench"))
        .args(arguments)
        .env("STACK_DIR", "no-such-stack")
        .output()
        .expect("runs");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("scenario.toml");
    std::fs::write(&scenario, "view = \"product-page\"\n[data]\nproducts = -1\n").expect("writes");
    let scenario = scenario.to_str().expect("UTF-8");
    let text = std::fs::read_to_string(QUICK).expect("reads");
    let wrong = folder.path().join("wrong.toml");
    std::fs::write(&wrong, without_comments(&text).replace("repeats = 3", "repeats = 0"))
        .expect("writes");
    let wrong = wrong.to_str().expect("UTF-8");
    let traced = folder.path().join("traced.toml");
    let sections = "view = \"product-page\"\n[data]\nproducts = 9\nreviews = 9\n[load]\nseed = 1\n\
                    connections = 1\n[[workloads]]\nrequests = { kind = \"trace\", file = \
                    \"no-such.csv\", pace = \"recorded\" }\n[matrix]\nrepeats = 1\n\
                    [[strategies]]\nstrategy = \"none\"\ntiers = \"none\"\n";
    std::fs::write(&traced, sections).expect("writes");
    let traced = traced.to_str().expect("UTF-8");
    std::fs::write(folder.path().join("results.json"), "{\n\"runs\": 7}").expect("writes");
    let results = folder.path().to_str().expect("UTF-8");
    let log = folder.path().join("access.log");
    std::fs::write(&log, "rubbish\nmore rubbish\n").expect("writes");
    let log = log.to_str().expect("UTF-8");
    let keys = folder.path().join("keys.csv");
    std::fs::write(&keys, "key\nx\nx\n").expect("writes");
    let keys = keys.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 39] = [
        (&["advise", "no-such.log"], 64, "no-such.log"),
        (&["advise", log], 65, "line 1: there is no request in quotes"),
        (&["advise", keys, "--writes", keys], 64, "tells no times"),
        (&["advise", keys, "--ttl", "soon"], 64, "500ms"),
        (&["replay", "--trace", log, "--format", "combined"], 65, "choose another --format"),
        (&["predict", "--trace", log, "--format", "cache2k"], 65, "bytes are left"),
        (&["predict", "--trace", "no-such.csv", "--format", "csv"], 64, "no-such.csv"),
        (&["run", "no-such.toml"], 64, "no-such.toml"),
        (&["run", scenario], 65, "scenario.toml:3: "),
        (&["run", traced], 65, "traced.toml:9: workloads.requests must name a file that is there"),
        (&["run", traced], 65, "LARDER_DATA names their folder"),
        (&["guide", "no-such.toml"], 64, "no-such.toml"),
        (&["guide", scenario], 65, "scenario.toml:3: "),
        (&["guide", GUIDE, "--steps", "2-1"], 64, "3-5"),
        (&["run", wrong], 65, "wrong.toml:19: matrix.repeats must be from 1"),
        (&["replay", "--trace", "no-such.csv", "--format", "csv"], 64, "no-such.csv"),
        (&["replay", "--trace", scenario, "--format", "tape"], 64, "cache2k"),
        (&["report", "no-such-folder"], 64, "no-such-folder"),
        (&["report", results], 65, "results.json:2: "),
        (&["compare", "no-such-folder", results], 64, "no-such-folder"),
        (&["compare", results, results], 65, "results.json:2: "),
        (&["run", QUICK, "--only", "none/l2"], 64, "--only is one of cache-aside/l2, none/none"),
        (&["run", QUICK, "--at", "5/s"], 64, "--at of 500/s;"),
        (&["run", QUICK, "--repeats", "0"], 64, "--repeats"),
        (&["run", QUICK, "--part", "curve"], 64, "--part curve: there is no [curve]"),
        (&["run", PAGE, "--part", "curve", "--only", "ttl/l1"], 64, "--only is one of none/none"),
        (&["run", PAGE, "--part", "curve", "--at", "9 users"], 64, "a rate such as 500/s"),
        (
            &["replay", "--trace", keys, "--format", "csv", "--strategy", "magic"],
            64,
            "not \"magic\"",
        ),
        (
            &["stock", results, "--strategies", "none,magic"],
            64,
            "magic/l2: strategy must be one of",
        ),
        (&["--stack", "running", "run", EVENTS], 64, "redis-node-loss kills a server"),
        (&["compare", results, results, "--threshold", "much"], 64, "--threshold"),
        (&["verify", "--strategy", "magic"], 64, "read-through, write-through"),
        (&["run", CURVES, "--only", "none/none"], 64, "add --part curve"),
        (&["run", CURVES, "--part", "ratios", "--repeats", "2"], 64, "ratios are run whole"),
        (&["verify", "--tiers", "l3"], 64, "possible values: none, l1, l2, l1+l2"),
        (&["all", "--quick", "--data", "no-such-data"], 64, "no-such-data (--data"),
        (&["all", "--data", results], 64, "traces/web07.trace.xz"),
        (&["online-retail", results], 64, "must hold products.csv"),
        (&["--stack", "running", "run", QUICK], 64, "make up, or --stack own"),
    ];
    for (arguments, code, named) in cases {
        let (ended, said) = bench(arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}

#[test]
fn advice_is_printed_and_written() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("keys.csv");
    std::fs::write(&log, "key\nx\ny\nx\nx\n").expect("writes");
    let out = folder.path().join("out");
    let Output { status, stdout, .. } = Command::new(env!("CARGO_BIN_EXE_larder-bench"))
        .args(["advise", "--json", "--out"])
        .args([&out, &log])
        .output()
        .expect("runs");
    assert!(status.success());
    let printed: serde_json::Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!(
        (&printed["traffic"]["reads"], &printed["floor"]["compulsory"]),
        (&4.into(), &2.into())
    );
    let written = std::fs::read(out.join("advise.json")).expect("a file");
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&written).expect("JSON"), printed);
    for name in ["advise.html", "larder.toml"] {
        assert!(out.join(name).exists(), "{name}");
    }
}
