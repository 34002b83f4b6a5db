//! What a receiver of OTLP is sent; and that nobody notices one that is slow or gone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use hyper::Method;
use larder_stack::testing::skip_without_servers;
use rustix::process::Signal;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::receiver::{
    Log, Received, TRACE_PARENT, attribute, exporting, grpc_on, receiver, trace_id,
};
use crate::support::{Service, eventually, service};

/// Names that others rely on.
const NAMES: [&str; 28] = [
    "db.client.operation.duration",
    "http.server.active_requests",
    "http.server.request.duration",
    "larder.cache.bytes",
    "larder.cache.coalesced",
    "larder.cache.entries",
    "larder.cache.fills_rejected",
    "larder.cache.invalidations",
    "larder.cache.loads",
    "larder.cache.lookups",
    "larder.db.queries",
    "larder.feed.lag",
    "larder.redis.breakers_open",
    "larder.redis.evictions",
    "larder.redis.round_trips",
    "larder.staleness",
    "larder.write_behind.coalesced",
    "larder.write_behind.dead_letters",
    "larder.write_behind.depth",
    "larder.write_behind.flushed",
    "larder.write_behind.oldest_age",
    "process.cpu.time",
    "process.memory.usage",
    "process.thread.count",
    "process.unix.file_descriptor.count",
    "tokio.runtime.alive_tasks",
    "tokio.runtime.global_queue.depth",
    "tokio.runtime.workers",
];
/// Above what a request takes on a busy machine, below what an exporter waits for a receiver.
const NOT_WAITED_FOR: Duration = Duration::from_secs(5);

/// `logs` are those that are exported.
async fn exporting_to(endpoint: &str, protocol: &'static str, logs: &str) -> Service {
    let exporting = exporting(endpoint, protocol);
    let mut settings: Vec<(&str, &str)> =
        exporting.iter().map(|(key, value)| (*key, value.as_str())).collect();
    settings.extend([
        ("TELEMETRY__OTLP_LOG_FILTER", logs),
        ("VERIFY__SAMPLE", "1"),
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ]);
    let service = service(&settings).await;
    service.connected().await;
    service
}

/// Reads, writes that wait, and writes at once; the longest that any of them took.
async fn exercise(service: &Service) -> Duration {
    let mut longest = Duration::ZERO;
    for turn in 0..60_i64 {
        let page = format!("/products/{}", turn % 10 + 1);
        let began = Instant::now();
        let answer = match turn % 6 {
            0 => {
                let patch = json!({ "price": { "minor": turn + 1, "currency": "EUR" } });
                service.json(Method::PATCH, &page, &patch).await
            }
            1 => {
                let review = json!({ "rating": 5, "title": "t", "body": "", "author": "a" });
                service.json(Method::POST, &format!("{page}/reviews"), &review).await
            }
            2 => service.get(&format!("{page}/summary")).await,
            _ => service.get(&page).await,
        };
        longest = longest.max(began.elapsed());
        assert!(answer.status.is_success(), "{answer:?}");
    }
    longest
}

async fn every_name_arrives(protocol: &'static str) {
    let received = Received::default();
    let endpoint = receiver(received.clone(), protocol).await;
    let service = exporting_to(&endpoint, protocol, "info").await;
    exercise(&service).await;
    let missing = || {
        let names = received.metrics.lock().expect("no panic");
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        NAMES.into_iter().filter(|name| !names.contains(name)).collect::<Vec<_>>()
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    while !missing().is_empty() {
        assert!(Instant::now() < deadline, "{:?} did not arrive: {}", missing(), service.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn every_metric_arrives_over_http() {
    if !skip_without_servers("every_metric_arrives_over_http") {
        every_name_arrives("http/protobuf").await;
    }
}

#[tokio::test]
async fn every_metric_arrives_over_grpc() {
    if !skip_without_servers("every_metric_arrives_over_grpc") {
        every_name_arrives("grpc").await;
    }
}

/// What the service says at INFO, and whatever the crates that carry the export could say about it.
const LOGS: &str = "info,h2=trace,hyper=trace,hyper_util=trace,tonic=trace,tower=trace,\
                    reqwest=trace,opentelemetry_sdk=trace,opentelemetry-otlp=trace";

type Holds<'a> = &'a dyn Fn(&Log) -> bool;

async fn logs_are_told_by_their_trace(protocol: &'static str) {
    let received = Received::default();
    let endpoint = receiver(received.clone(), protocol).await;
    let service = exporting_to(&endpoint, protocol, LOGS).await;
    let headers = [("traceparent", TRACE_PARENT)];
    service.send(Method::GET, "/products/7", &headers, "").await;
    let old = service.send(Method::DELETE, "/admin/cache/product-page/7", &headers, "").await;
    assert!(old.status.is_success(), "{old:?}");

    let trace = trace_id();
    // The name of the span in which it was written.
    let within = |log: &Log| {
        let spans = received.spans();
        let span = spans.into_iter().find(|span| span.span_id == log.record.span_id);
        span.filter(|span| span.trace_id == trace).map(|span| span.name)
    };
    let wanted: [(&str, Holds<'_>); 2] = [
        ("a log of a request", &|log| {
            log.target == "catalog_api::admin::entries"
                && log.message() == "a key was invalidated"
                && attribute(&log.record.attributes, "namespace") == "product-page"
                && log.record.severity_text == "INFO"
                && log.record.trace_id == trace
                && within(log).is_some_and(|span| span.starts_with("DELETE /admin/cache/"))
        }),
        ("a log of no request", &|log| {
            log.message() == "connected to redis" && log.record.trace_id.is_empty()
        }),
    ];
    for (what, is) in wanted {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !received.logs().iter().any(is) {
            let logs = received.logs();
            let found: Vec<_> =
                logs.iter().map(|log| (&log.target, log.message(), within(log))).collect();
            assert!(Instant::now() < deadline, "{what} is not among {found:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    for log in received.logs() {
        let own = |key| attribute(&log.resource, key);
        assert_eq!(own("service.name"), "catalog-api", "{log:?}");
        assert_eq!(own("service.version"), env!("CARGO_PKG_VERSION"), "{log:?}");
        // Exports have gone on for a while: none of them caused another.
        let carriers = ["h2", "hyper", "tonic", "tower", "reqwest", "opentelemetry"];
        assert!(!carriers.iter().any(|carrier| log.target.starts_with(carrier)), "{log:?}");
        assert!(log.record.severity_text != "DEBUG", "{log:?}");
    }
}

#[tokio::test]
async fn logs_arrive_with_their_trace_over_http() {
    if !skip_without_servers("logs_arrive_with_their_trace_over_http") {
        logs_are_told_by_their_trace("http/protobuf").await;
    }
}

#[tokio::test]
async fn logs_arrive_with_their_trace_over_grpc() {
    if !skip_without_servers("logs_arrive_with_their_trace_over_grpc") {
        logs_are_told_by_their_trace("grpc").await;
    }
}

/// Accepts, reads, and never answers; its endpoint.
async fn silent_receiver() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                while connection.read(&mut bytes).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    endpoint
}

async fn nobody_notices(endpoint: &str, protocol: &'static str) {
    // More logs than a queue holds.
    let mut service = exporting_to(endpoint, protocol, "trace").await;
    // Long enough for an export to be under way.
    let until = Instant::now() + Duration::from_secs(2);
    while Instant::now() < until {
        let longest = exercise(&service).await;
        assert!(longest < NOT_WAITED_FOR, "{protocol}: a request took {longest:?}");
    }
    service.process.signal(Signal::TERM);
    service.process.ended().await;
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_not_noticed() {
    if skip_without_servers("a_receiver_that_never_answers_is_not_noticed") {
        return;
    }
    let endpoint = silent_receiver().await;
    for protocol in ["http/protobuf", "grpc"] {
        nobody_notices(&endpoint, protocol).await;
    }
}

#[tokio::test]
async fn a_receiver_that_goes_away_is_not_noticed() {
    if skip_without_servers("a_receiver_that_goes_away_is_not_noticed") {
        return;
    }
    for protocol in ["http/protobuf", "grpc"] {
        // Nothing listens on the discard port.
        nobody_notices("http://127.0.0.1:9", protocol).await;
    }
    // One that was there at first.
    let received = Received::default();
    let there = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = there.local_addr().expect("an address");
    let listening = tokio::spawn(grpc_on(received.clone(), there));
    let mut service = exporting_to(&format!("http://{address}"), "grpc", "trace").await;
    exercise(&service).await;
    eventually(Duration::from_secs(30), "metrics arrive", async || {
        !received.metrics.lock().expect("no panic").is_empty()
    })
    .await;
    listening.abort();
    let longest = exercise(&service).await;
    assert!(longest < NOT_WAITED_FOR, "a request took {longest:?}");
    service.process.terminate().await;
}
