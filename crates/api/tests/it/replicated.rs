//! `write-behind` in the mode `replicated`: what other processes see of a write, and that it outlives the
//! process that has accepted it.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use larder_stack::Topology;
use larder_stack::testing::{private_redis_cluster, skip_without_servers};
use serde_json::{Value, json};

use crate::support::{Answer, Process, Service, eventually, service_on};

const NEVER: &str = "600000";
const SOON: (&str, &str) = ("WRITE_BEHIND__FLUSH_AFTER_MS", "50");

async fn replicated(flush_after_ms: &str) -> Service {
    let redis = private_redis_cluster(Topology::ThreeByOne).await;
    let settings = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
        ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "write-behind"),
        ("WRITE_BEHIND__MODE", "replicated"),
        ("WRITE_BEHIND__FLUSH_AFTER_MS", flush_after_ms),
    ];
    let service = service_on(redis, &settings).await;
    service.connected().await;
    service
}

async fn patch(process: &Process, id: i64, patch: Value) -> Answer {
    process.json(Method::PATCH, &format!("/products/{id}"), &patch).await
}

fn price(minor: i64) -> Value {
    json!({ "price": { "minor": minor, "currency": "EUR" } })
}

async fn minor(process: &Process, id: i64) -> i64 {
    let page = process.get(&format!("/products/{id}")).await;
    page.json()["price"]["minor"].as_i64().expect("a price")
}

async fn became(process: &Process, written: &Answer) -> String {
    let found = process.get(&format!("/writes/{}", written.header("larder-position"))).await;
    found.json()["state"].as_str().unwrap_or("unknown").to_owned()
}

async fn stock(process: &Process, id: i64, sku: &Value) -> i64 {
    let page = process.get(&format!("/products/{id}")).await.json();
    let variants = page["variants"].as_array().expect("variants").clone();
    let it = variants.into_iter().find(|variant| variant["sku"] == *sku).expect("it is there");
    it["stock"].as_i64().expect("a stock")
}

async fn drained(process: &Process) {
    eventually(Duration::from_secs(20), "all is applied", async || {
        process.get("/admin/journal").await.json()["depth"] == 0
    })
    .await;
}

#[tokio::test]
async fn other_processes_see_a_write_and_apply_it_when_the_one_that_accepted_it_is_killed() {
    if skip_without_servers("other_processes_see_a_write_and_apply_it_when_the_one_is_killed") {
        return;
    }
    let service = replicated(NEVER).await;
    let other = service.another().await;
    other.get("/products/1").await;
    let written = patch(&service, 1, price(4_242)).await;
    let accepted = Instant::now();
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    assert_eq!(written.header("larder-mode"), "replicated");
    assert_eq!((written.header("etag"), written.header("larder-version")), ("", ""));
    assert_eq!(minor(&service, 1).await, 4_242, "at once where it was accepted");
    while minor(&other, 1).await != 4_242 {
        assert!(accepted.elapsed() < Duration::from_secs(1), "within a bound elsewhere");
    }
    println!("seen by another process after {:?}", accepted.elapsed());
    assert_eq!(became(&other, &written).await, "pending");
    assert_eq!(other.get("/admin/journal").await.json()["mode"], "replicated");

    // What does not wait comes after what waits, whoever has accepted that.
    let sku = service.get("/products/2").await.json()["variants"][0]["sku"].clone();
    patch(&service, 2, json!({ "stock": [{ "sku": sku, "stock": 5 }] })).await;
    let order = |delta: i32| json!({ "stock_delta": [{ "sku": sku, "delta": delta }] });
    eventually(Duration::from_secs(1), "the stock is seen", async || {
        stock(&other, 2, &sku).await == 5
    })
    .await;
    assert_eq!(patch(&other, 2, order(-6)).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(patch(&other, 2, order(-3)).await.status, StatusCode::ACCEPTED);
    let mut both = order(-2);
    both["price"] = json!({ "minor": 55, "currency": "EUR" });
    let synchronous = patch(&other, 2, both).await;
    assert_eq!(synchronous.status, StatusCode::OK, "{synchronous:?}");
    assert_eq!((minor(&other, 2).await, stock(&other, 2, &sku).await), (55, 0));

    service.kill_hard();
    let next = service.another_with(&[SOON]).await;
    drained(&next).await;
    for process in [&next, &other] {
        assert_eq!(became(process, &written).await, "flushed");
        assert_eq!((minor(process, 1).await, minor(process, 2).await), (4_242, 55));
    }
}

#[tokio::test]
async fn orders_at_several_processes_are_applied_once_though_one_is_killed_amid_its_flushes() {
    if skip_without_servers("orders_at_several_processes_are_applied_once") {
        return;
    }
    let service = replicated("200").await;
    let other = service.another().await;
    let sku = service.get("/products/3").await.json()["variants"][0]["sku"].clone();
    patch(&service, 3, json!({ "stock": [{ "sku": sku, "stock": 100_000 }] })).await;
    drained(&service).await;
    let order = json!({ "stock_delta": [{ "sku": sku, "delta": -1 }] });
    let sell = async |process: &Process, times: usize| {
        let orders = (0..times).map(|_| process.try_patch("/products/3", &order));
        let answers: Vec<_> = stream::iter(orders).buffer_unordered(128).collect().await;
        let is_taken = |answer: &&Option<Answer>| {
            answer.as_ref().is_some_and(|answer| answer.status == StatusCode::ACCEPTED)
        };
        answers.iter().filter(is_taken).count() as i64
    };
    let [before, ..] = service.statements().await;
    assert_eq!(sell(&service, 1_000).await, 1_000);
    drained(&service).await;
    let [after, ..] = service.statements().await;
    println!("{} statements for 1,000 writes in 128 at a time", after - before);
    // Two for an append and some for a flush: how many there are of these goes by the machine's pace.
    assert!(after - before <= 250, "{} statements for 1,000 writes", after - before);

    let (first, second, ()) = tokio::join!(sell(&service, 2_000), sell(&other, 2_000), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        service.kill_hard();
    });
    let next = service.another().await;
    drained(&other).await;
    let sold = 100_000 - stock(&next, 3, &sku).await;
    let acknowledged = 1_000 + first + second;
    println!(
        "{acknowledged} orders acknowledged, {first} by the process that was killed; {sold} applied"
    );
    assert_eq!(second, 2_000, "the other goes on");
    // What was not answered may be there, once: not more than were under way.
    assert!((acknowledged..=acknowledged + 128).contains(&sold), "{sold} of {acknowledged}");
    assert_eq!(stock(&other, 3, &sku).await, 100_000 - sold);
    assert_eq!(other.get("/admin/dead-letters").await.json()["dead_letters"], json!([]));
}
