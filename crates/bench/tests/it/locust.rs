//! The Locust file in deploy/load, run headless against a real service.

use std::path::Path;
use std::process::Command;

use larder_bench::load::key;
use larder_bench::scenario::{Contender, DataSet};

use crate::measurements::fixture;

/// The runner's code for "it cannot be installed here".
const NOT_INSTALLED: i32 = 69;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_locust_file_drives_the_service_without_a_failure() {
    let test = "the_locust_file_drives_the_service_without_a_failure";
    let Some(mut fixture) = fixture(test).await else { return };
    let data = DataSet { products: 300, reviews: 3_000 };
    fixture.session.catalogue(data, 1).await.expect("fills");
    let url = fixture.session.bed.admin_url().to_owned();
    let api = fixture.session.api(&Contender::cache_aside(), &url).await.expect("starts");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let host = format!("http://{}", api.address());
    let ran = tokio::task::spawn_blocking(move || {
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("locust");
        Command::new(root.join("deploy/load/run.sh"))
            .args(["--headless", "--users", "10", "--spawn-rate", "10", "--run-time", "4s"])
            .args(["--only-summary", "--exit-code-on-error", "1"])
            .env("HOST", host)
            .env("PRODUCTS", "300")
            .env("WRITES", "0.1")
            .env("ADMIN_KEY", key())
            .env("LOCUST_VENV", venv)
            .output()
            .expect("a shell runs it")
    });
    let output = ran.await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() == Some(NOT_INSTALLED) {
        eprintln!("SKIPPED {test}: {said}");
        return;
    }
    assert!(output.status.success(), "{said}");
    for request in ["GET /products/{id}", "PATCH /products/{id}"] {
        assert!(said.contains(request), "{said}");
    }
    drop(api);
    fixture.end().await;
}
