//! `write-through`: what a write made is in the cache before the write is answered.

use std::time::Duration;

use hyper::{Method, StatusCode};
use larder_stack::Topology;
use larder_stack::testing::{self, skip_without_servers};
use serde_json::json;

use crate::support::{Process, Service, eventually, service, service_on};

const THROUGH: [(&str, &str); 4] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "write-through"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l2"),
];

async fn reprice(process: &Process, id: i64, minor: i64) -> String {
    let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
    let path = format!("/products/{id}");
    let written = process.json(Method::PATCH, &path, &patch).await;
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    written.header("etag").to_owned()
}

async fn two(service: &Service) -> Process {
    service.connected().await;
    let other = service.another().await;
    eventually(Duration::from_secs(20), "Redis is reached", async || {
        other.get("/readyz").await.json()["redis"] == "up"
    })
    .await;
    other
}

#[tokio::test]
async fn after_a_write_the_next_read_by_another_process_is_a_hit_with_the_new_version() {
    if skip_without_servers("after_a_write_the_next_read_by_another_process_is_a_hit") {
        return;
    }
    // A publication that Redis does not answer in time is none: here it is given the time.
    let patient = [("REDIS__RESPONSE_TIMEOUT_MS", "10000"), ("REDIS__OVERALL_TIMEOUT_MS", "20000")];
    let settings: Vec<_> = THROUGH.into_iter().chain(patient).collect();
    let service = service(&settings).await;
    let other = two(&service).await;
    // Cold, and then warm in both tiers of the reader.
    for minor in [101, 102, 103] {
        let etag = reprice(&service, 1, minor).await;
        let page = other.get("/products/1").await;
        assert!(page.cache_status().contains("; hit;"), "{minor}: {}", page.cache_status());
        assert_eq!(page.json()["price"]["minor"], minor);
        assert_eq!(page.header("etag"), etag);
        let summary = other.get("/products/1/summary").await;
        assert!(summary.cache_status().contains("; hit;"), "{}", summary.cache_status());
        assert_eq!(summary.json()["price"]["minor"], minor);
    }
    // A page that shows the product is not published, but has nothing old to show either.
    let shown = other.get("/products/1").await.json()["related"][0]["id"].as_i64();
    let shown = shown.expect("page 1 shows a product");
    reprice(&service, shown, 777).await;
    let page = other.get("/products/1").await.json();
    let related = page["related"].as_array().expect("related products").clone();
    let it = related.iter().find(|product| product["id"] == shown).expect("it is shown");
    assert_eq!(it["price"]["minor"], 777);
}

#[tokio::test]
async fn a_redis_that_is_gone_neither_fails_a_write_nor_leaves_an_old_value_behind() {
    if skip_without_servers("a_redis_that_is_gone_neither_fails_a_write") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let mut service = service_on(redis, &THROUGH).await;
    let other = two(&service).await;
    reprice(&service, 2, 201).await;
    other.get("/products/2").await;
    service.redis.stop_all().await;
    reprice(&service, 2, 202).await;
    eventually(Duration::from_secs(5), "the new value is seen", async || {
        other.get("/products/2").await.json()["price"]["minor"] == 202
    })
    .await;
    service.redis.start_all().await;
    service.connected().await;
    eventually(Duration::from_secs(20), "the new value is cached", async || {
        let page = other.get("/products/2").await;
        assert_eq!(page.json()["price"]["minor"], 202);
        page.cache_status().contains("; hit;")
    })
    .await;
}
