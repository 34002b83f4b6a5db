//! What a measurement ran on.

use std::collections::BTreeSet;
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

/// The commit that is checked out, and in what tracked files differ from it.
fn commit() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=10", "HEAD"]) else { return unknown() };
    // What is being written is no part of what was measured.
    let changed = said("git", &["diff", "--name-only", "HEAD", "--", ":/", ":(exclude,top)docs"]);
    let changed = changed.unwrap_or_default();
    format!("{commit}{}", differs(changed.lines()))
}

/// In what a tree with these changed files differs from its commit: documentation is nothing that runs, and of
/// all else the crates or folders are named.
fn differs<'a>(changed: impl Iterator<Item = &'a str>) -> String {
    let (text, code): (Vec<&str>, Vec<&str>) = changed.partition(|file| file.ends_with(".md"));
    let place = |file: &&str| {
        let parts: Vec<&str> = file.split('/').collect();
        match parts[..] {
            ["crates", name, _, ..] => format!("crates/{name}"),
            _ => parts[0].to_owned(),
        }
    };
    let places: BTreeSet<String> = code.iter().map(place).collect();
    let places: Vec<String> = places.into_iter().collect();
    match (places.as_slice(), text.is_empty()) {
        ([], true) => String::new(),
        ([], false) => ", which only documentation differs from".to_owned(),
        (places, _) => format!(", with changes in {}", places.join(", ")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_the_commit_is_named_unless_it_is_documentation() {
        let said = |files: &[&str]| differs(files.iter().copied());
        assert_eq!(said(&[]), "");
        assert_eq!(
            said(&["README.md", "crates/cache/README.md"]),
            ", which only documentation differs from"
        );
        let files = ["crates/cache/src/a.rs", "README.md", "crates/cache/src/b.rs", "Cargo.lock"];
        assert_eq!(said(&files), ", with changes in Cargo.lock, crates/cache");
    }
}
