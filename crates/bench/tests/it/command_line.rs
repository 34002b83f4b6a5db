//! Bad input is named before any server is started.

use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } =
        Command::new(env!("CARGO_BIN_EXE_larder-bench")).args(arguments).output().expect("runs");
    (status.code(), String::from_utf8(stderr).expect("UTF-8"))
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("scenario.toml");
    std::fs::write(&scenario, "view = \"product-page\"\n[data]\nproducts = -1\n").expect("writes");
    let scenario = scenario.to_str().expect("UTF-8");
    let cases: [(&[&str], i32, &str); 5] = [
        (&["run", "no-such.toml"], 64, "no-such.toml"),
        (&["run", scenario], 64, "products"),
        (&["replay", "--trace", "no-such.csv", "--format", "csv"], 64, "no-such.csv"),
        (&["replay", "--trace", scenario, "--format", "tape"], 2, "cache2k"),
        (&["report", "no-such-folder"], 70, "no-such-folder"),
    ];
    for (arguments, code, named) in cases {
        let (ended, said) = bench(arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {said}");
        assert!(said.contains(named), "{arguments:?}: {said}");
    }
}
