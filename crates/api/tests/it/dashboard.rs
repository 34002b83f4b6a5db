//! The dashboard without a browser: its files, its policy, its stream, and its numbers.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use reqwest::Response;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::counting::visits;
use crate::support::{Process, eventually, service};
use crate::telemetry::sum;

/// All that the page is made of.
const FILES: [&str; 6] = [
    "/",
    "/dashboard/style.css",
    "/dashboard/app.js",
    "/dashboard/chart.js",
    "/dashboard/switch.js",
    "/dashboard/icon.svg",
];
/// Viewers at the same time; the next one is sent away.
const MOST_VIEWERS: usize = 32;
const PATIENCE: Duration = Duration::from_secs(30);

/// A stream of events, read as they come.
struct Stream {
    response: Response,
    text: String,
}

impl Stream {
    async fn open(process: &Process) -> Self {
        let response = ask(process).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's name and data; `None` when the stream ends as it should.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (name, data) = event.split_once('\n').expect("a name, then data");
                let name = name.strip_prefix("event: ").expect("a name").to_owned();
                let data = data.strip_prefix("data: ").expect("data");
                let data = serde_json::from_str(data).expect("JSON");
                self.text = rest.to_owned();
                return Some((name, data));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("an event a second").expect("the stream is not cut off")?;
            self.text.push_str(std::str::from_utf8(&chunk).expect("UTF-8"));
        }
    }

    /// The next snapshot.
    async fn second(&mut self) -> Value {
        loop {
            let (name, data) = self.next().await.expect("the service goes on");
            if name == "second" {
                return data;
            }
        }
    }

    /// The first snapshot from now on that is as wanted.
    async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        for _ in 0..PATIENCE.as_secs() {
            last = self.second().await;
            if wanted(&last) {
                return last;
            }
        }
        panic!("{what}: {last:#}");
    }
}

async fn ask(process: &Process) -> Response {
    let url = format!("{}/dashboard/events", process.url);
    reqwest::get(url).await.expect("an answer")
}

/// What is in force for `namespace`, and has cost.
fn current<'a>(snapshot: &'a Value, namespace: &str) -> &'a Value {
    let costs = snapshot["costs"].as_array().expect("a list");
    let found = costs.iter().find(|of| of["current"] == true && of["namespace"] == namespace);
    found.expect("every namespace has a strategy")
}

#[tokio::test]
async fn every_file_is_served_under_a_policy_that_lets_nothing_in_from_elsewhere() {
    if skip_without_servers(
        "every_file_is_served_under_a_policy_that_lets_nothing_in_from_elsewhere",
    ) {
        return;
    }
    let service = service(&[]).await;
    for path in FILES {
        let file = service.get(path).await;
        assert_eq!(file.status, StatusCode::OK, "{path}");
        assert_eq!(file.header("x-content-type-options"), "nosniff", "{path}");
        let policy: Vec<&str> = file.header("content-security-policy").split("; ").collect();
        for directive in [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "connect-src 'self'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(&directive), "{path}: {policy:?} lacks {directive}");
        }
        for way in ["unsafe-", "http:", "https:", "data:", "*"] {
            assert!(!policy.iter().any(|directive| directive.contains(way)), "{path}: {policy:?}");
        }
        let text = String::from_utf8(file.body.to_vec()).expect("UTF-8");
        // The name of SVG's namespace is an address that nobody asks.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        assert!(!text.contains("://"), "{path} names something elsewhere");
        for inline in [" style=", "<style", " onclick=", " onload=", "innerHTML", "javascript:"] {
            assert!(!text.contains(inline), "{path} has {inline}");
        }
        let wrong = service.send(Method::POST, path, &[], "").await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
    }
    let page = service.get("/").await;
    assert!(page.header("content-type").starts_with("text/html"));
    let page = String::from_utf8(page.body.to_vec()).expect("UTF-8");
    for path in &FILES[1..3] {
        assert!(page.contains(path), "the page uses {path}");
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script type=\"module\" src=\"/dashboard/app.js\"></script>"));
}

#[tokio::test]
async fn a_viewer_is_told_what_was_and_then_every_second_beyond_the_deadline_of_requests() {
    let name = "a_viewer_is_told_what_was_and_then_every_second_beyond_the_deadline_of_requests";
    if skip_without_servers(name) {
        return;
    }
    let service = service(&[("SERVER__REQUEST_DEADLINE_MS", "500")]).await;
    let mut first = Stream::open(&service).await;
    let (name, hello) = first.next().await.expect("the service goes on");
    assert_eq!(name, "hello");
    assert_eq!(hello["address"], service.url.trim_start_matches("http://"));
    assert!(hello["strategies"].as_array().is_some_and(|all| all.len() == 7), "{hello}");
    let mut before = 0;
    for _ in 0..4 {
        let at_ms = first.second().await["now"]["at_ms"].as_u64().expect("a time");
        assert!(at_ms > before, "{at_ms} is after {before}");
        before = at_ms;
    }
    // Who comes later is shown the seconds that the first one saw.
    let (_, hello) = Stream::open(&service).await.next().await.expect("the service goes on");
    let points = hello["points"].as_array().expect("a list");
    assert!(points.len() >= 4, "{hello}");
    let times = points.iter().map(|point| point["at_ms"].as_u64().expect("a time"));
    assert!(times.clone().is_sorted() && times.clone().any(|at_ms| at_ms == before), "{hello}");
}

#[tokio::test]
async fn the_numbers_are_those_of_the_metrics_and_those_are_postgres_s() {
    if skip_without_servers("the_numbers_are_those_of_the_metrics_and_those_are_postgres_s") {
        return;
    }
    let service = Arc::new(service(&[("VERIFY__SAMPLE", "0.5")]).await);
    service.connected().await;
    let mut stream = Stream::open(&service).await;
    visits(&service, 8).await;
    let [completed, failed, unknown] = service.statements().await;
    // The snapshot that is under way may be of before the last statement.
    stream.second().await;
    let seen = stream.second().await;
    let [completed_after, ..] = service.statements().await;
    assert_eq!(completed_after, completed, "a viewer costs no statement");
    assert_eq!(service.database.counted().await, completed);

    let text = service.get("/metrics").await;
    let text = String::from_utf8(text.body.to_vec()).expect("UTF-8");
    let feed = ["larder_purpose=\"feed\""];
    for (outcome, counted) in [("completed", completed), ("failed", failed), ("unknown", unknown)] {
        let label = format!("larder_outcome=\"{outcome}\"");
        let all = sum(&text, "larder_db_queries_total", &[&label]);
        let relay = sum(&text, "larder_db_queries_total", &[&label, feed[0]]);
        assert_eq!(all - relay, counted as f64, "{outcome}");
        assert_eq!(seen["queries"][outcome], counted, "{outcome}: {seen:#}");
    }
    assert!(completed > 50 && failed > 0, "{completed} {failed}");
    let requests: f64 = ["/products", "/categories"]
        .iter()
        .map(|route| {
            let label = format!("http_route=\"{route}");
            sum(&text, "http_server_request_duration_seconds_count", &[&label])
        })
        .sum();
    assert_eq!(requests, 96.0, "eight visitors make twelve requests each");
    assert_eq!(seen["requests"]["all"], 96, "{seen:#}");
    for (place, tier) in ["l1", "l2"].into_iter().enumerate() {
        let tier = format!("larder_tier=\"{tier}\"");
        let lookups = sum(&text, "larder_cache_lookups_total", &[&tier]);
        let missed = sum(&text, "larder_cache_lookups_total", &[&tier, "larder_outcome=\"miss\""]);
        assert_eq!(seen["tiers"][place]["all"], lookups as u64, "{seen:#}");
        assert_eq!(seen["tiers"][place]["hits"], (lookups - missed) as u64, "{seen:#}");
    }
    let sampled = sum(&text, "larder_staleness_seconds_count", &[]);
    assert_eq!(seen["staleness"]["sampled"].as_f64().unwrap_or_default(), sampled, "{seen:#}");
    let page = current(&seen, "product-page");
    let loads = ["larder_namespace=\"product-page\"", "larder_purpose=\"load\""];
    let loads = sum(&text, "larder_db_queries_total", &loads);
    assert_eq!(page["cost"]["read_queries"], loads as u64, "{seen:#}");
}

#[tokio::test]
async fn a_switch_begins_a_new_account_of_what_a_strategy_costs() {
    if skip_without_servers("a_switch_begins_a_new_account_of_what_a_strategy_costs") {
        return;
    }
    let none = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "none"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "none"),
    ];
    let service = service(&none).await;
    service.connected().await;
    let mut stream = Stream::open(&service).await;
    for _ in 0..20 {
        service.get("/products/7").await;
    }
    let counted = |snapshot: &Value| current(snapshot, "product-page")["cost"]["reads"] == 20;
    let before = stream.until("twenty reads", counted).await;
    let page = current(&before, "product-page");
    assert_eq!((&page["strategy"], &page["began_ms"]), (&json!("none"), &json!(0)));
    assert_eq!(page["cost"]["read_queries"], 20, "nothing is cached: {page}");
    let [median, slow] = ["p50_ms", "p99_ms"].map(|name| before["now"][name].as_f64());
    assert!(median > Some(0.0) && median <= slow, "{before:#}");

    let body = json!({ "namespace": "product-page", "strategy": "read-through", "tiers": "l2" });
    let switched = service.json(Method::PUT, "/admin/strategy", &body).await;
    assert_eq!(switched.status, StatusCode::OK, "{switched:?}");
    let new = |snapshot: &Value| current(snapshot, "product-page")["strategy"] == "read-through";
    let after = stream.until("the switch", new).await;
    assert!(current(&after, "product-page")["began_ms"].as_u64() > Some(0));
    for _ in 0..20 {
        service.get("/products/7").await;
    }
    let after = stream.until("twenty reads more", counted).await;
    let page = current(&after, "product-page");
    assert_eq!(page["cost"]["read_queries"], 1, "one load for all: {page}");
    let costs = after["costs"].as_array().expect("a list");
    let ended = costs.iter().find(|of| of["current"] == false).expect("what was before");
    assert_eq!((&ended["strategy"], &ended["cost"]["reads"]), (&json!("none"), &json!(20)));
}

/// Requests for the catalogue and the application's statements, as `/metrics` has them.
async fn metrics(process: &Process) -> (f64, f64) {
    let text = process.get("/metrics").await;
    let text = String::from_utf8(text.body.to_vec()).expect("UTF-8");
    let route = ["http_route=\"/products"];
    let queries = |labels: &[&str]| sum(&text, "larder_db_queries_total", labels);
    (
        sum(&text, "http_server_request_duration_seconds_count", &route),
        queries(&[]) - queries(&["larder_purpose=\"feed\""]),
    )
}

#[tokio::test]
async fn all_processes_are_shown_and_their_sum_is_that_of_their_metrics() {
    if skip_without_servers("all_processes_are_shown_and_their_sum_is_that_of_their_metrics") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let mut other = service.another().await;
    for id in 1..=30 {
        service.get(&format!("/products/{id}")).await;
        other.get(&format!("/products/{}", id + 20)).await;
        other.get(&format!("/products/{id}/summary")).await;
    }
    let [here, there] = [metrics(&service).await, metrics(&other).await];
    assert_eq!((here.0, there.0), (30.0, 60.0));
    let requests = |figures: &Value| figures["requests"]["all"].as_f64();
    let queries = |figures: &Value| {
        let of = |name: &str| figures["queries"][name].as_f64();
        Some(of("completed")? + of("failed")? + of("unknown")?)
    };
    let mut stream = Stream::open(&service).await;
    let seen = stream
        .until("both are known", |snapshot| requests(&snapshot["processes"]["all"]) == Some(90.0))
        .await;
    let each = seen["processes"]["each"].as_array().expect("a list");
    let shown: Vec<_> = each
        .iter()
        .map(|one| {
            let figures = &one["figures"];
            (one["address"].as_str(), requests(figures), queries(figures))
        })
        .collect();
    let address = |process: &Process| process.url.trim_start_matches("http://").to_owned();
    let addresses = [address(&service), address(&other)];
    // This one first.
    assert_eq!(
        shown,
        [
            (Some(addresses[0].as_str()), Some(here.0), Some(here.1)),
            (Some(addresses[1].as_str()), Some(there.0), Some(there.1)),
        ]
    );
    assert_eq!(queries(&seen["processes"]["all"]), Some(here.1 + there.1), "{seen:#}");
    // What this process says of itself beside the others is what it says elsewhere.
    let own = &each[0]["figures"];
    for figure in ["requests_per_second", "queries_per_second", "hit_ratio", "p50_ms", "p99_ms"] {
        assert_eq!(own[figure], seen["now"][figure], "{figure}: {seen:#}");
    }
    other.terminate().await;
    let alone = |snapshot: &Value| {
        let each = snapshot["processes"]["each"].as_array();
        each.is_some_and(|each| each.len() == 1)
    };
    let seen = stream.until("the other one is gone", alone).await;
    assert_eq!(requests(&seen["processes"]["all"]), Some(30.0), "{seen:#}");
}

#[tokio::test]
async fn viewers_are_bounded_and_who_leaves_makes_room() {
    if skip_without_servers("viewers_are_bounded_and_who_leaves_makes_room") {
        return;
    }
    let service = service(&[]).await;
    let mut viewers = Vec::new();
    for _ in 0..MOST_VIEWERS {
        viewers.push(Stream::open(&service).await);
    }
    let refused = ask(&service).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "5");
    assert_eq!(service.get("/products/7").await.status, StatusCode::OK);
    drop(viewers.pop());
    eventually(PATIENCE, "a place is free", async || ask(&service).await.status() == 200).await;
}

#[tokio::test]
async fn a_stop_ends_the_streams_in_order() {
    if skip_without_servers("a_stop_ends_the_streams_in_order") {
        return;
    }
    let mut service = service(&[]).await;
    let mut stream = Stream::open(&service).await;
    stream.second().await;
    let watched = tokio::spawn(async move {
        // To its end, which a connection that is cut off would not have.
        while stream.next().await.is_some() {}
    });
    service.process.terminate().await;
    watched.await.expect("the stream ends with its last chunk");
}

#[tokio::test]
async fn a_service_that_closes_is_watched_to_its_end() {
    if skip_without_servers("a_service_that_closes_is_watched_to_its_end") {
        return;
    }
    let mut service = service(&[("SERVER__DRAIN_MS", "5000")]).await;
    let mut stream = Stream::open(&service).await;
    stream.second().await;
    service.process.signal(Signal::TERM);
    eventually(PATIENCE, "it closes", async || service.get("/readyz").await.status == 503).await;
    for _ in 0..2 {
        stream.second().await;
    }
    while stream.next().await.is_some() {}
    service.process.ended().await;
}
