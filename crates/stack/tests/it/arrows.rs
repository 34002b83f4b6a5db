//! Which crate may use which: the table of ARCHITECTURE.md, held.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// What each crate may use of the workspace.
const ARROWS: [(&str, &[&str]); 10] = [
    ("larder", &[]),
    ("larder-postgres", &["larder"]),
    ("larder-telemetry", &[]),
    ("larder-stack", &[]),
    ("catalog-domain", &[]),
    ("catalog-repository", &["catalog-domain", "larder-postgres"]),
    ("catalog-service", &["catalog-domain", "larder"]),
    (
        "catalog-api",
        &[
            "larder",
            "larder-postgres",
            "larder-telemetry",
            "larder-stack",
            "catalog-domain",
            "catalog-repository",
            "catalog-service",
        ],
    ),
    (
        "larder-bench",
        &[
            "larder",
            "larder-postgres",
            "larder-telemetry",
            "larder-stack",
            "catalog-domain",
            "catalog-repository",
            "catalog-service",
            "catalog-api",
        ],
    ),
    ("larder-benches", &["larder", "larder-postgres", "catalog-repository"]),
];

/// Libraries that only some crates may use, in tests too.
const RESERVED: [(&str, &[&str]); 5] = [
    (
        "sqlx",
        &[
            "larder-postgres",
            "catalog-repository",
            "larder-stack",
            "larder-bench",
            "larder-benches",
        ],
    ),
    ("redis", &["larder", "larder-stack", "larder-bench"]),
    ("deadpool-redis", &["larder", "larder-stack", "larder-bench"]),
    ("actix-web", &["catalog-api"]),
    ("tokio-postgres", &[]),
];

/// What the domain must not know.
const NOT_IN_DOMAIN: [&str; 4] = ["tokio", "sqlx", "redis", "actix-web"];

fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo describes the workspace")
}

fn uses(package: &Package, tests: bool) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| tests || dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

#[test]
fn no_crate_uses_another_that_the_architecture_does_not_allow() {
    let metadata = metadata();
    let allowed: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let packages = metadata.workspace_packages();
    let names: BTreeSet<&str> = packages.iter().map(|package| package.name.as_str()).collect();
    let known: BTreeSet<&str> = allowed.keys().copied().collect();
    assert_eq!(names, known, "a crate is missing in the table, or in the workspace");
    for package in &packages {
        let name = package.name.as_str();
        for used in uses(package, true).intersection(&names) {
            // Every crate's tests may start servers.
            let server = *used == "larder-stack" && !uses(package, false).contains(used);
            assert!(server || allowed[name].contains(used), "{name} must not use {used}");
        }
        for (library, users) in RESERVED {
            let used = uses(package, true).contains(library);
            assert!(!used || users.contains(&name), "{name} must not use {library}");
        }
    }
    let domain = packages.iter().find(|package| package.name == "catalog-domain");
    let domain = uses(domain.expect("is in the workspace"), true);
    for library in NOT_IN_DOMAIN {
        assert!(!domain.contains(library), "catalog-domain must not use {library}");
    }
}
