//! `/openapi.json` says what is served, all of it and nothing else.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use hyper::Method;
use larder_stack::testing::skip_without_servers;
use serde_json::Value;

use crate::deploy::{succeeds, tool};
use crate::support::{KEY, service};

const METHODS: [&str; 6] = ["get", "head", "post", "put", "patch", "delete"];

/// Method and path of everything in the document.
fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = METHODS.iter().filter(|method| item.get(**method).is_some());
        methods.map(|method| ((*method).to_owned(), path.clone()))
    });
    operations.collect()
}

/// Method and path of every route that the modules in `folder` register below `prefix`.
fn registered(folder: &str, prefix: &str) -> BTreeSet<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(folder).expect("a folder of routes") {
        let file = entry.expect("an entry").path();
        // Yardsticks of the benchmark, which are off elsewhere.
        if file.ends_with("bench.rs") {
            continue;
        }
        let text = std::fs::read_to_string(file).expect("reads");
        for resource in text.split("resource(\"").skip(1) {
            let (path, rest) = resource.split_once('"').expect("a path");
            let own = rest.split("fn ").next().unwrap_or_default();
            for method in METHODS {
                if own.contains(&format!("web::{method}()")) {
                    found.insert((method.to_owned(), format!("{prefix}{path}")));
                }
            }
        }
    }
    found
}

fn document() -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let text = std::fs::read_to_string(file).expect("reads");
    serde_json::from_str(&text).expect("is JSON")
}

#[test]
fn every_route_is_in_the_document_and_nothing_else_is() {
    let served = &registered("routes", "") | &registered("admin", "/admin");
    assert!(served.len() > 20, "{served:?}");
    let documented = documented(&document());
    let (missing, gone) = (&served - &documented, &documented - &served);
    assert!(missing.is_empty() && gone.is_empty(), "missing: {missing:?}; not served: {gone:?}");
}

#[tokio::test]
async fn each_documented_method_is_served_and_no_other_is() {
    if skip_without_servers("each_documented_method_is_served_and_no_other_is") {
        return;
    }
    let service = service(&[]).await;
    let served = service.get("/openapi.json").await;
    assert_eq!(served.status, 200);
    assert_eq!(served.json(), document());
    let documented = documented(&document());
    let paths: BTreeSet<&String> = documented.iter().map(|(_, path)| path).collect();
    for path in paths {
        let concrete = path.replace("{id}", "0").replace("{position}", "x").replace("{slug}", "X");
        let concrete =
            concrete.replace("{namespace}", "x").replace("{key}", "x").replace("{tag}", "x");
        for method in METHODS {
            let known = documented.contains(&(method.to_owned(), path.clone()));
            let asked = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let status = service.send(asked, &concrete, &[], "").await.status;
            assert_eq!(known, status != 405, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn answers_to_made_up_requests_are_as_the_document_says() {
    let test = "answers_to_made_up_requests_are_as_the_document_says";
    let Some(program) = tool("schemathesis", test) else { return };
    if skip_without_servers(test) {
        return;
    }
    let service = service(&[]).await;
    let folder = tempfile::tempdir().expect("a folder");
    // The seed makes every run the same one; counts and time bound it.
    let mut command = Command::new(program);
    command.current_dir(folder.path()).args(["run", &format!("{}/openapi.json", service.url)]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", "20", "--seed", "1"]);
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,\
                  response_schema_conformance,response_headers_conformance";
    command.args(["--checks", checks, "--request-timeout", "30"]);
    command.args(["--header", &format!("Authorization: Bearer {KEY}")]);
    let said = tokio::task::spawn_blocking(move || succeeds(&mut command)).await;
    println!("{}", said.expect("no panic"));
    assert!(!service.log().contains("panicked"), "{}", service.log());
}
