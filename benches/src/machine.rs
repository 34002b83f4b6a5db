//! What a measurement ran on.

use std::process::Command;

/// The machine, the compiler and the revision, for people to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The system's name and its kernel.
    pub system: String,
    /// What `rustc --version` says.
    pub rust: String,
    /// The commit, and whether anything else than it was measured.
    pub commit: String,
}

impl Machine {
    /// Asks the operating system, `rustc` and `git`; what none of them knows is "unknown".
    #[must_use]
    pub fn ask() -> Self {
        let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        let name = field(&read("/etc/os-release"), "PRETTY_NAME", '=');
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name", ':').unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            system: format!("{}, kernel {}", name.unwrap_or_else(unknown), kernel.trim()),
            rust: said("rustc", &["--version"]).unwrap_or_else(unknown),
            commit: commit(),
        }
    }
}

/// The commit that is checked out, and whether tracked files differ from it.
fn commit() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=10", "HEAD"]) else { return unknown() };
    // What is being written is no part of what was measured.
    let changes = ["status", "--porcelain", "--untracked-files=no", "--", ":!docs"];
    match said("git", &changes) {
        Some(changes) if !changes.is_empty() => format!("{commit}, with changes"),
        _ => commit,
    }
}

fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn field(text: &str, name: &str, separator: char) -> Option<String> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    let (_, value) = line.split_once(separator)?;
    Some(value.trim().trim_matches('"').to_owned())
}

fn unknown() -> String {
    "unknown".to_owned()
}
