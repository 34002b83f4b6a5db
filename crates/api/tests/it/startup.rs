//! What cannot work is said before any port is bound.

use std::net::TcpListener;
use std::process::Output;

use larder_stack::testing::skip_without_servers;

use crate::support::{program, service};

/// Runs the program to its end: exit code, standard output, standard error.
pub(crate) fn run(arguments: &[&str], settings: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = program();
    command.args(arguments).current_dir(folder.path());
    for (key, value) in settings {
        command.env(format!("LARDER__{key}"), value);
    }
    let Output { status, stdout, stderr } = command.output().expect("runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn settings_that_cannot_work_end_with_64_and_name_the_key() {
    let page = "NAMESPACES__PRODUCT_PAGE__";
    let cases = [
        ("SERVER__BIND".to_owned(), "nowhere", "server.bind"),
        ("SERVER__BLIND".to_owned(), "x", "server.blind"),
        ("REDIS__CONNECTIONS".to_owned(), "0", "redis.connections"),
        ("REDIS__OVERALL_TIMEOUT_MS".to_owned(), "1", "redis.overall_timeout_ms"),
        (format!("{page}STRATEGY"), "magic", "namespaces.product-page.strategy"),
        (format!("{page}TOMBSTONE_TTL_MS"), "1000", "namespaces.product-page.tombstone_ttl_ms"),
        ("TELEMETRY__OTLP_PROTOCOL".to_owned(), "smoke", "telemetry.otlp_protocol"),
        ("TELEMETRY__LOG_FILTER".to_owned(), "larder=loud", "telemetry.log_filter"),
        ("TELEMETRY__OTLP_LOG_FILTER".to_owned(), "info,larder=loud", "telemetry.otlp_log_filter"),
        ("WRITE_BEHIND__MODE".to_owned(), "magic", "write_behind.mode"),
    ];
    for (key, value, named) in &cases {
        let (code, _, said) = run(&["serve"], &[(key, value)]);
        assert_eq!(code, Some(64), "{key}: {said}");
        assert!(said.contains(named), "{key}: {said}");
    }
    let unkept = [("WRITE_BEHIND__MODE", "replicated"), ("WRITE_BEHIND__MIN_REPLICAS", "0")];
    let (code, _, said) = run(&["serve"], &unkept);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("write_behind.min_replicas"), "{said}");
    let (code, _, said) = run(&["serve", "--config", "no-such.toml"], &[]);
    assert_eq!(code, Some(64), "{said}");
    assert!(said.contains("no-such.toml"), "{said}");
}

#[test]
fn secrets_are_never_printed() {
    let url = "postgres://app:hunter2@127.0.0.1/larder";
    let settings = [("DATABASE__URL", url), ("DATABASE__ADMIN_URL", url)];
    let (code, shown, _) = run(&["config"], &settings);
    assert_eq!(code, Some(0));
    assert!(shown.contains("postgres://app:***@127.0.0.1/larder"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
    // No URL, but what psql takes.
    let words = ("DATABASE__ADMIN_URL", "host=127.0.0.1 user=postgres password=hunter2");
    let (code, shown, said) = run(&["config"], &[("DATABASE__URL", url), words]);
    assert!(!shown.contains("hunter2") && !said.contains("hunter2"), "{code:?}: {shown}{said}");
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let (code, _, said) = run(&["serve"], &[("SERVER__BIND", &address)]);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("server.bind") && said.contains(&address), "{said}");
}

#[tokio::test]
async fn without_postgres_it_does_not_start_and_says_why() {
    let url = "postgres://app@127.0.0.1:9/larder";
    let settings = [("DATABASE__URL", url), ("SERVER__BIND", "127.0.0.1:0")];
    let (code, _, said) = run(&["serve"], &settings);
    assert_eq!(code, Some(69), "{said}");
    assert!(said.contains("database.url"), "{said}");
}

#[tokio::test]
async fn a_signal_ends_it_cleanly() {
    if skip_without_servers("a_signal_ends_it_cleanly") {
        return;
    }
    let service = service(&[]).await;
    let mut second = service.another().await;
    assert_eq!(second.get("/healthz").await.status, 200);
    let config = second.get("/admin/config").await;
    assert!(String::from_utf8_lossy(&config.body).contains(":***@"), "{config:?}");
    second.terminate().await;
    assert!(!second.log().contains("panicked"), "{}", second.log());
}
