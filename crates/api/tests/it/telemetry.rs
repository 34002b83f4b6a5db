//! Metrics at `/metrics`, metrics and traces over OTLP.

use std::collections::HashMap;
use std::time::Duration;

use hyper::Method;
use larder_stack::testing::skip_without_servers;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::json;

use crate::receiver::{Received, TRACE_PARENT, exporting, receiver, trace_id};
use crate::support::{Process, Service, eventually, service};

async fn traced(endpoint: &str, protocol: &'static str) -> Service {
    let settings = exporting(endpoint, protocol);
    let settings: Vec<(&str, &str)> = settings.iter().map(|(k, v)| (*k, v.as_str())).collect();
    service(&settings).await
}

/// The names from the root down to each leaf of the trace with this id.
fn paths(spans: &[Span], trace_id: &[u8]) -> Vec<String> {
    let spans: Vec<&Span> = spans.iter().filter(|span| span.trace_id == trace_id).collect();
    let by_id: HashMap<&[u8], &Span> =
        spans.iter().map(|span| (span.span_id.as_slice(), *span)).collect();
    spans
        .iter()
        .map(|span| {
            let mut names = vec![span.name.as_str()];
            let mut at = *span;
            while let Some(parent) = by_id.get(at.parent_span_id.as_slice()) {
                names.push(&parent.name);
                at = parent;
            }
            names.reverse();
            names.join(" > ")
        })
        .collect()
}

async fn requests_make_one_tree(protocol: &'static str) {
    let received = Received::default();
    let endpoint = receiver(received.clone(), protocol).await;
    let service = traced(&endpoint, protocol).await;
    service.connected().await;
    let headers = [("traceparent", TRACE_PARENT), ("content-type", "application/json")];
    service.send(Method::GET, "/products/5", &headers, "").await;
    let patch = json!({ "price": { "minor": 5, "currency": "EUR" } }).to_string();
    service.send(Method::PATCH, "/products/5", &headers, patch).await;
    let trace = trace_id();
    let expected = [
        "GET /products/{id} > cache.lookup",
        "GET /products/{id} > cache.load > SELECT products",
        "GET /products/{id} > cache.load > cache.fill",
        "PATCH /products/{id} > catalogue.write > UPDATE products",
        "PATCH /products/{id} > catalogue.write > cache.invalidate",
    ];
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    for path in expected {
        while !paths(&received.spans(), &trace).iter().any(|found| found.ends_with(path)) {
            let found = paths(&received.spans(), &trace);
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "{path} is not among {found:#?}: {}", service.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let spans = received.spans();
    let statement = spans.iter().find(|span| span.name == "SELECT products").expect("a statement");
    let keys: Vec<&str> = statement.attributes.iter().map(|a| a.key.as_str()).collect();
    assert!(keys.contains(&"db.system.name") && keys.contains(&"db.collection.name"), "{keys:?}");
    eventually(Duration::from_secs(30), "the metrics arrive", async || {
        let names = received.metrics.lock().expect("no panic");
        let wanted = ["larder.db.queries", "larder.cache.lookups", "db.client.operation.duration"];
        wanted.iter().all(|name| names.iter().any(|n| n == name))
    })
    .await;
}

#[tokio::test]
async fn http_cache_and_sql_are_one_tree_over_http() {
    if !skip_without_servers("http_cache_and_sql_are_one_tree_over_http") {
        requests_make_one_tree("http/protobuf").await;
    }
}

#[tokio::test]
async fn http_cache_and_sql_are_one_tree_over_grpc() {
    if !skip_without_servers("http_cache_and_sql_are_one_tree_over_grpc") {
        requests_make_one_tree("grpc").await;
    }
}

#[tokio::test]
async fn a_receiver_that_is_not_there_costs_nothing_but_its_data() {
    if skip_without_servers("a_receiver_that_is_not_there_costs_nothing_but_its_data") {
        return;
    }
    let service = traced("http://127.0.0.1:9", "http/protobuf").await;
    for id in 1..20 {
        assert_eq!(service.get(&format!("/products/{id}")).await.status, 200);
    }
}

/// What `/metrics` of `process` says: the [`sum`] of a metric's series.
pub(crate) async fn metric(process: &Process, name: &str, labels: &[&str]) -> f64 {
    let answer = process.get("/metrics").await;
    sum(std::str::from_utf8(&answer.body).expect("UTF-8"), name, labels)
}

/// The sum of a metric's samples whose labels contain all of `labels`.
pub(crate) fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    metrics
        .lines()
        .filter(|line| line.split(['{', ' ']).next() == Some(name))
        .filter(|line| labels.iter().all(|label| line.contains(label)))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

#[tokio::test]
async fn the_metrics_agree_with_the_ledger_and_among_themselves() {
    if skip_without_servers("the_metrics_agree_with_the_ledger_and_among_themselves") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    for id in [1, 2, 1, 3, 1] {
        service.get(&format!("/products/{id}")).await;
        service.get(&format!("/products/{id}/summary")).await;
    }
    let patch = json!({ "price": { "minor": 5, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/1", &patch).await;
    service.get("/products/1").await;
    let [completed, _, _] = service.statements().await;
    let text = service.get("/metrics").await;
    assert!(text.header("content-type").starts_with("text/plain"));
    let text = String::from_utf8(text.body.to_vec()).expect("UTF-8");

    let lookups = |outcome: &str| {
        let page = ["larder_namespace=\"product-page\"", "larder_tier=\"l2\""];
        let outcome = format!("larder_outcome=\"{outcome}\"");
        sum(&text, "larder_cache_lookups_total", &[page[0], page[1], &outcome])
    };
    assert_eq!((lookups("hit"), lookups("miss")), (2.0, 4.0), "{text}");
    let all = sum(&text, "larder_cache_lookups_total", &[]);
    assert_eq!(all, 11.0, "hits and misses are all lookups");
    let loads = ["larder_purpose=\"load\"", "larder_namespace=\"product-page\""];
    assert_eq!(sum(&text, "larder_db_queries_total", &loads), 4.0, "{text}");
    // The relay's role is counted on its own, and goes on meanwhile.
    let own = |name: &str, labels: &[&str]| {
        let feed = [labels, &["larder_purpose=\"feed\""]].concat();
        sum(&text, name, labels) - sum(&text, name, &feed)
    };
    let completed_ones = own("larder_db_queries_total", &["larder_outcome=\"completed\""]);
    assert_eq!(completed_ones, completed as f64, "{text}");
    let durations = own("db_client_operation_duration_seconds_count", &[]);
    assert_eq!(durations, own("larder_db_queries_total", &[]), "{text}");
    assert!(sum(&text, "larder_db_queries_total", &["larder_purpose=\"feed\""]) > 0.0, "{text}");
    for name in [
        "larder_cache_loads_total",
        "larder_cache_invalidations_total",
        "larder_redis_round_trips_total",
        "http_server_request_duration_seconds_count",
    ] {
        assert!(sum(&text, name, &[]) > 0.0, "{name}: {text}");
    }
}
