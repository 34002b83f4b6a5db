//! What is in `deploy/`, as far as it can be checked without a Docker engine: the Compose file against
//! the programs and files that it names, and each server's settings with that server's real program.

mod compose;
mod context;
mod queries;
mod runbook;
mod scripts;
mod servers;
mod stack;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

pub(crate) use self::servers::Balancer;

/// Set, a program that is not installed is a failure; else the tests that need it say so and pass.
const REQUIRE_TOOLS: &str = "LARDER_REQUIRE_DEPLOY_TOOLS";

/// A file or folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn text(path: &str) -> String {
    let file = repository(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Where the program `name` is; `None`, and says so, where `test` must be skipped for want of it.
pub(crate) fn tool(name: &str, test: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let fetched = repository("target/deploy-tools/bin");
    let folders = [fetched, "/usr/sbin".into()].into_iter().chain(std::env::split_paths(&path));
    let found = folders.map(|folder| folder.join(name)).find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var_os(REQUIRE_TOOLS).is_some();
        assert!(!required, "{test} needs {name}: make check-deploy installs it");
        eprintln!("SKIPPED {test}: {name} is not installed (make check-deploy installs it)");
    }
    found
}

/// Runs it and returns what it wrote.
pub(crate) fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{out}\n{err}");
    out.into_owned()
}

/// A program that ends with the test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
