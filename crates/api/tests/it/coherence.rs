//! Every committed change is seen by every process, whoever made it.

use std::time::{Duration, Instant};

use hyper::Method;
use larder_stack::Topology;
use larder_stack::testing::{self, skip_without_servers};
use rustix::process::Signal;
use serde_json::json;

use crate::support::{Process, Service, eventually, service, service_on};

/// Both tiers, with entries that live on unless something ends them.
const LASTING: [(&str, &str); 6] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_PAGE__L1_TTL_MS", "3600000"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "cache-aside"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__L1_TTL_MS", "3600000"),
];
/// Far above what telling takes on a busy machine, far below the life of an entry.
const SOON: Duration = Duration::from_secs(1);
/// How soon another process relays when the one that did was killed.
const TAKEN_OVER: Duration = Duration::from_secs(5);

async fn price(process: &Process, id: u32) -> i64 {
    let answer = process.get(&format!("/products/{id}")).await;
    answer.json()["price"]["minor"].as_i64().expect("a price")
}

/// The price of `id` as the page of `shown_on` has it.
async fn price_on(process: &Process, shown_on: i64, id: i64) -> i64 {
    let page = process.get(&format!("/products/{shown_on}")).await.json();
    let related = page["related"].as_array().expect("related products");
    let it = related.iter().find(|product| product["id"] == id).expect("it is shown");
    it["price"]["minor"].as_i64().expect("a price")
}

/// Reads `id` until it comes out of the process's own tier.
async fn warm(process: &Process, id: u32) {
    eventually(SOON * 5, "the page is held", async || {
        process.get(&format!("/products/{id}")).await.cache_status().contains("detail=l1")
    })
    .await;
}

async fn is_relay(process: &Process) -> bool {
    process.get("/admin/cache").await.json()["coherence"]["relay"]["active"] == true
}

#[tokio::test]
async fn what_is_changed_in_sql_every_process_sees_soon_also_on_pages_that_show_it() {
    if skip_without_servers("what_is_changed_in_sql_every_process_sees_soon") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let shown = service.get("/products/1").await.json()["related"][0]["id"].clone();
    let shown = shown.as_i64().expect("page 1 shows a product");
    for process in [&service.process, &other] {
        warm(process, 1).await;
    }
    // As an application does that dies between its commit and what it has to tell: no bell rings.
    for (price, bell) in [(111, "on"), (222, "off")] {
        let sql = format!(
            "SET larder.doorbell = '{bell}'; UPDATE products SET price_minor = {price} WHERE id = {shown}"
        );
        service.database.execute(&sql).await;
        for process in [&service.process, &other] {
            eventually(SOON, "the change is seen", async || {
                price_on(process, 1, shown).await == price
            })
            .await;
        }
    }
    service.database.execute("DELETE FROM products WHERE id = 1").await;
    for process in [&service.process, &other] {
        eventually(SOON, "the deletion is seen", async || {
            process.get("/products/1").await.status == 404
        })
        .await;
    }
    service.database.execute("TRUNCATE reviews").await;
    eventually(SOON, "the barrier is seen", async || {
        other.get("/products/2").await.json()["rating"]["count"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_process_that_was_frozen_answers_nothing_old_when_it_wakes() {
    if skip_without_servers("a_process_that_was_frozen_answers_nothing_old") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let frozen = service.another().await;
    warm(&frozen, 3).await;
    frozen.signal(Signal::STOP);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let patch = json!({ "price": { "minor": 12_345, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/3", &patch).await;
    service.database.execute("UPDATE products SET price_minor = 12346 WHERE id = 3").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    frozen.signal(Signal::CONT);
    // The first one, too (once the connection is one that was not kept alive for too long).
    let mut first = None;
    while first.is_none() {
        first = frozen.try_get("/products/3").await;
    }
    assert_eq!(first.expect("an answer").json()["price"]["minor"], 12_346);
    for _ in 0..50 {
        assert_eq!(price(&frozen, 3).await, 12_346);
    }
    warm(&frozen, 3).await;
}

#[tokio::test]
async fn when_the_relay_is_killed_another_process_takes_over_and_skips_nothing() {
    if skip_without_servers("when_the_relay_is_killed_another_process_takes_over") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    eventually(TAKEN_OVER, "it relays", async || is_relay(&service).await).await;
    assert!(!is_relay(&other).await);
    for id in 1..=40 {
        warm(&other, id).await;
    }
    // One change after the other, the relay killed among them; nobody rings.
    let mut killed = Instant::now();
    for id in 1..=40_u32 {
        let sql = format!(
            "SET larder.doorbell = 'off'; UPDATE products SET price_minor = 7 WHERE id = {id}"
        );
        service.database.execute(&sql).await;
        if id == 20 {
            service.kill_hard();
            killed = Instant::now();
        }
    }
    eventually(TAKEN_OVER, "another relays", async || is_relay(&other).await).await;
    assert!(killed.elapsed() <= TAKEN_OVER, "{:?}", killed.elapsed());
    for id in 1..=40 {
        eventually(TAKEN_OVER, "the change is seen", async || price(&other, id).await == 7).await;
    }
    eprintln!("all is seen {:?} after the kill", killed.elapsed());
}

#[tokio::test]
async fn a_relay_that_is_stopped_hands_over_at_once() {
    if skip_without_servers("a_relay_that_is_stopped_hands_over_at_once") {
        return;
    }
    let mut service = service(&LASTING).await;
    service.connected().await;
    eventually(TAKEN_OVER, "it relays", async || is_relay(&service).await).await;
    let other = service.another().await;
    service.process.terminate().await;
    // Less than the lease that it had.
    eventually(Duration::from_secs(2), "the other relays", async || is_relay(&other).await).await;
}

#[tokio::test]
async fn a_long_transaction_delays_its_own_keys_alone() {
    if skip_without_servers("a_long_transaction_delays_its_own_keys_alone") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    for id in [4, 5] {
        warm(&service, id).await;
    }
    let open = service.database.begin("UPDATE products SET price_minor = 44 WHERE id = 4").await;
    let before = price(&service, 4).await;
    for step in 1..=10 {
        let sql = format!("UPDATE products SET price_minor = {step} WHERE id = 5");
        service.database.execute(&sql).await;
        eventually(SOON, "the change is seen", async || price(&service, 5).await == step).await;
        assert_eq!(price(&service, 4).await, before);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    open.commit().await;
    eventually(SOON, "the change is seen", async || price(&service, 4).await == 44).await;
}

/// A process in another region: another Redis Cluster, the same database.
async fn elsewhere(service: &Service, nodes: &[String]) -> Process {
    let nodes = nodes.join(",");
    service.another_with(&[("REDIS__NODES", &nodes), ("FEED__REGION", "second")]).await
}

#[tokio::test]
async fn what_is_written_in_one_region_the_other_sees() {
    if skip_without_servers("what_is_written_in_one_region_the_other_sees") {
        return;
    }
    let here = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let there = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let service = service_on(here, &LASTING).await;
    service.connected().await;
    let other = elsewhere(&service, &there.nodes()).await;
    for process in [&service.process, &other] {
        eventually(TAKEN_OVER, "each region has a relay", async || is_relay(process).await).await;
    }
    for (writer, reader) in [(&service.process, &other), (&other, &service.process)] {
        for id in 6..=9_u32 {
            warm(reader, id).await;
            let minor = price(reader, id).await + 1;
            let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
            let wrote = writer.json(Method::PATCH, &format!("/products/{id}"), &patch).await;
            assert_eq!(wrote.status, 200, "{wrote:?}");
            assert_eq!(price(writer, id).await, minor);
            eventually(SOON, "the other region sees it", async || price(reader, id).await == minor)
                .await;
        }
    }
}
