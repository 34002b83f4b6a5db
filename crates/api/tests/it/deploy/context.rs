//! What is sent to the Docker engine is all that the image is built of.

use std::path::Path;
use std::process::Command;

use super::{repository, succeeds, text, tool};

/// The tracked files that `.dockerignore` lets through: it leaves out everything, and takes some back.
fn context() -> Vec<String> {
    let ignore = text(".dockerignore");
    let mut lines = ignore.lines().filter(|line| !line.starts_with('#'));
    assert_eq!(lines.next(), Some("*"));
    let taken: Vec<&str> =
        lines.map(|line| line.strip_prefix('!').unwrap_or_else(|| panic!("{line}"))).collect();
    for name in &taken {
        assert!(repository(name).exists(), ".dockerignore names {name}");
    }
    let mut git = Command::new("git");
    let listed = succeeds(git.args(["ls-files"]).current_dir(repository("")));
    let inside = |file: &str| taken.iter().any(|name| Path::new(file).starts_with(name));
    listed.lines().filter(|file| inside(file)).map(str::to_owned).collect()
}

fn copy(files: &[String], to: &Path) {
    for file in files {
        let target = to.join(file);
        std::fs::create_dir_all(target.parent().expect("a folder")).expect("folders are made");
        std::fs::copy(repository(file), target).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

/// Every manifest is there, and the lock file is that of all of them. Asked for the image's platform: a build has
/// fetched that one's crates, and those of no other.
fn resolves(workspace: &Path) {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--offline", "--locked", "--format-version=1"]);
    succeeds(cargo.args(["--filter-platform", &platform]).current_dir(workspace));
}

/// `include_str!`, `include_bytes!` and `migrate!` name files that Cargo does not know of.
fn included(source: &str) -> impl Iterator<Item = &str> {
    ["include_str!(\"", "include_bytes!(\"", "migrate!(\""]
        .into_iter()
        .flat_map(|start| source.split(start).skip(1).filter_map(|rest| rest.split('"').next()))
}

#[test]
fn the_context_has_every_file_that_the_build_reads() {
    let files = context();
    let folder = tempfile::tempdir().expect("a folder");
    copy(&files, folder.path());
    resolves(folder.path());

    let mut checked = 0;
    for file in files.iter().filter(|file| file.ends_with(".rs")) {
        let source = std::fs::read_to_string(folder.path().join(file)).expect("it was copied");
        let own_folder = Path::new(file).parent().expect("a folder");
        for name in included(&source) {
            let crate_folder = own_folder
                .ancestors()
                .find(|at| folder.path().join(at).join("Cargo.toml").is_file());
            // `migrate!` counts from the crate, the others from the file.
            let from = [own_folder, crate_folder.expect("a crate")];
            let there = from.iter().any(|from| folder.path().join(from).join(name).exists());
            assert!(there, "{file} includes {name}, which .dockerignore leaves out");
            checked += 1;
        }
    }
    assert!(checked > 10, "{checked} includes were found: the search is broken");

    // What the image itself takes from the context.
    let dockerfile = text("deploy/Dockerfile");
    let copies = dockerfile.lines().filter(|line| line.starts_with("COPY "));
    for line in copies.filter(|line| !line.contains("--from=") && *line != "COPY . .") {
        let source = line.split_whitespace().rev().nth(1).expect("source and target");
        assert!(folder.path().join(source).exists(), "{line}");
    }
}

#[test]
fn the_layer_of_dependencies_is_planned_and_laid_out() {
    let test = "the_layer_of_dependencies_is_planned_and_laid_out";
    let Some(chef) = tool("cargo-chef", test) else { return };
    let plan = tempfile::tempdir().expect("a folder");
    copy(&context(), plan.path());
    let mut prepare = Command::new(&chef);
    prepare.args(["chef", "prepare", "--recipe-path", "recipe.json"]);
    succeeds(prepare.current_dir(plan.path()));
    // As the next stage does, but that nothing is compiled: from the recipe alone.
    let build = tempfile::tempdir().expect("a folder");
    std::fs::copy(plan.path().join("recipe.json"), build.path().join("recipe.json"))
        .expect("the recipe is there");
    let mut cook = Command::new(&chef);
    cook.args(["chef", "cook", "--no-build", "--package", "catalog-api"]);
    succeeds(cook.args(["--recipe-path", "recipe.json"]).current_dir(build.path()));
    resolves(build.path());
}

#[test]
fn the_dockerfile_passes_its_linter() {
    if let Some(hadolint) = tool("hadolint", "the_dockerfile_passes_its_linter") {
        succeeds(Command::new(hadolint).arg(repository("deploy/Dockerfile")));
    }
}
