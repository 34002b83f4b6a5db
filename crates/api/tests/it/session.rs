//! Read your own writes, whichever process answers.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use larder_stack::{Topology, testing};
use serde_json::{Value, json};

use crate::support::{Answer, Process, Service, eventually, service, service_on};

/// Both views in both tiers, and L1 entries that outlive the test.
const LONG: [(&str, &str); 6] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_PAGE__L1_TTL_MS", "600000"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__L1_TTL_MS", "600000"),
];
/// The paths of the views of product 7.
const VIEWS: [&str; 2] = ["/products/7", "/products/7/summary"];
/// Larger than any version that there is.
const BOGUS: &str = "4000000000-9000000000000000000";

/// The service, and another process beside it.
async fn two() -> (Service, Process) {
    let service = service(&LONG).await;
    let other = beside(&service).await;
    (service, other)
}

async fn beside(service: &Service) -> Process {
    service.connected().await;
    let other = service.another().await;
    eventually(Duration::from_secs(20), "Redis is reached", async || {
        other.get("/admin/cache").await.json()["redis_available"] == true
    })
    .await;
    other
}

async fn price(process: &Process, minor: u64) -> Answer {
    let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
    let answer = process.json(Method::PATCH, "/products/7", &patch).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer
}

async fn not_older(process: &Process, path: &str, than: &str) -> Answer {
    process.send(Method::GET, path, &[("larder-min-version", than)], "").await
}

fn minor(answer: &Answer) -> u64 {
    answer.json()["price"]["minor"].as_u64().expect("a price")
}

#[tokio::test]
async fn a_write_says_what_it_made_and_another_process_answers_nothing_older() {
    let name = "a_write_says_what_it_made_and_another_process_answers_nothing_older";
    if testing::skip_without_servers(name) {
        return;
    }
    let (writer, reader) = two().await;
    for round in 1..=5 {
        for path in VIEWS {
            reader.get(path).await;
        }
        let written = price(&writer, round).await;
        let made = written.header("larder-version").to_owned();
        // The header names both views; the entity tag is the page's alone.
        let (page, summary) = made.split_once(", ").expect("two views");
        let page = page.strip_prefix("product-page=").expect("the page's version");
        assert!(summary.starts_with("product-summary="), "{made}");
        assert_eq!(written.header("etag"), format!("\"{page}\""));
        for path in VIEWS {
            let read = not_older(&reader, path, &made).await;
            assert_eq!((read.status, minor(&read)), (StatusCode::OK, round), "{path} {made}");
            // From now on nobody gets the old one here.
            assert_eq!(minor(&reader.get(path).await), round, "{path}");
        }
        let etag = written.header("etag").to_owned();
        assert_eq!(minor(&not_older(&reader, VIEWS[0], &etag).await), round);
    }
}

#[tokio::test]
async fn every_strategy_honours_the_version_asked_for() {
    if testing::skip_without_servers("every_strategy_honours_the_version_asked_for") {
        return;
    }
    let (writer, reader) = two().await;
    let strategies =
        ["cache-aside", "read-through", "write-through", "refresh-ahead", "ttl", "none"];
    for (minor_units, strategy) in (100..).zip(strategies) {
        let tiers = if strategy == "none" { "none" } else { "l1+l2" };
        for namespace in ["product-page", "product-summary"] {
            let body = json!({ "namespace": namespace, "strategy": strategy, "tiers": tiers });
            for process in [&writer.process, &reader] {
                let switched = process.json(Method::PUT, "/admin/strategy", &body).await;
                assert_eq!(switched.status, StatusCode::OK, "{switched:?}");
            }
        }
        for path in VIEWS {
            reader.get(path).await;
        }
        let made = price(&writer, minor_units).await.header("larder-version").to_owned();
        for path in VIEWS {
            if strategy == "ttl" {
                let old = reader.get(path).await;
                assert_eq!(minor(&old), minor_units - 1, "nothing but the TTL ends an entry");
            }
            let read = not_older(&reader, path, &made).await;
            assert_eq!(minor(&read), minor_units, "{strategy} {path} {}", read.cache_status());
        }
    }
}

#[tokio::test]
async fn reviews_replacements_creations_and_deletions_say_what_they_made() {
    let name = "reviews_replacements_creations_and_deletions_say_what_they_made";
    if testing::skip_without_servers(name) {
        return;
    }
    let (writer, reader) = two().await;
    let mut product = json!({
        "sku": "SESSION", "name": "A lamp", "description": "", "category": "kitchen",
        "price": { "minor": 5, "currency": "EUR" }, "related": [7],
    });
    let both = |answer: &Answer| {
        let made = answer.header("larder-version").to_owned();
        assert!(made.contains("product-page=") && made.contains(", product-summary="), "{made}");
        made
    };
    // The next product's absence is known to the reader.
    let page = "/products/301";
    let summary = "/products/301/summary";
    for path in [page, summary] {
        assert_eq!(reader.get(path).await.status, StatusCode::NOT_FOUND);
    }
    let created = writer.json(Method::POST, "/products", &product).await;
    assert_eq!(created.header("location"), page);
    for path in [page, summary] {
        let read = not_older(&reader, path, &both(&created)).await;
        assert_eq!(read.status, StatusCode::OK, "{read:?}");
    }
    let review = json!({ "rating": 4, "title": "Bright", "body": "", "author": "reader" });
    let reviewed = writer.json(Method::POST, &format!("{page}/reviews"), &review).await;
    let made = reviewed.header("larder-version").to_owned();
    assert!(made.starts_with("product-page=") && !made.contains("summary"), "{made}");
    let read = not_older(&reader, page, &made).await.json();
    assert_eq!(read["latest_reviews"][0]["title"], "Bright");

    product.as_object_mut().expect("an object").remove("sku");
    product["name"] = "A better lamp".into();
    let replaced = writer.json(Method::PUT, page, &product).await;
    for path in [page, summary] {
        let read = not_older(&reader, path, &both(&replaced)).await;
        assert_eq!(read.json()["name"], "A better lamp");
    }
    let deleted = writer.send(Method::DELETE, page, &[], "").await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    for path in [page, summary] {
        let read = not_older(&reader, path, &both(&deleted)).await;
        assert_eq!(read.status, StatusCode::NOT_FOUND, "{path}: {read:?}");
        assert_eq!(reader.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn a_version_that_does_not_exist_asks_postgres_once_per_request() {
    let name = "a_version_that_does_not_exist_asks_postgres_once_per_request";
    if testing::skip_without_servers(name) {
        return;
    }
    let (service, other) = two().await;
    let known = service.get(VIEWS[0]).await;
    other.get(VIEWS[0]).await;
    let before = service.database.counted().await;
    for process in [&service.process, &other] {
        let read = not_older(process, VIEWS[0], BOGUS).await;
        assert_eq!((read.status, &read.body), (StatusCode::OK, &known.body), "{read:?}");
        assert!(read.cache_status().contains("fwd=miss"), "{}", read.cache_status());
    }
    assert_eq!(service.database.counted().await - before, 2);
    // Of those who ask together nobody waits for all others.
    let before = service.database.counted().await;
    let began = Instant::now();
    let processes = [&service.process, &other];
    let herd = (0..200).map(|n| not_older(processes[n % 2], VIEWS[0], BOGUS));
    for read in join_all(herd).await {
        assert_eq!((read.status, &read.body), (StatusCode::OK, &known.body), "{read:?}");
    }
    let statements = service.database.counted().await - before;
    assert!((1..=200).contains(&statements), "{statements} in {:?}", began.elapsed());
    // For what is not there, too; and nobody else notices.
    assert_eq!(not_older(&other, "/products/999", BOGUS).await.status, StatusCode::NOT_FOUND);
    let before = service.database.counted().await;
    for process in processes {
        let read = process.get(VIEWS[0]).await;
        assert!(read.cache_status().starts_with("larder; hit"), "{}", read.cache_status());
    }
    assert_eq!(service.database.counted().await, before);
}

#[tokio::test]
async fn a_malformed_version_is_a_problem_that_names_the_header() {
    if testing::skip_without_servers("a_malformed_version_is_a_problem_that_names_the_header") {
        return;
    }
    let service = service(&[]).await;
    for path in VIEWS {
        for malformed in
            ["", "seven", "1", "-1-7", "product-page", "product-page=x", "1-2,", "\"1-2"]
        {
            let refused = not_older(&service, path, malformed).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{malformed:?}: {refused:?}");
            assert_eq!(refused.header("content-type"), "application/problem+json");
            let field = &refused.json()["errors"][0]["field"];
            assert_eq!(*field, Value::from("Larder-Min-Version"), "{malformed:?}");
        }
        for ignored in ["orders=7-7", "orders=7-7, users=8-8"] {
            assert_eq!(not_older(&service, path, ignored).await.status, StatusCode::OK);
        }
    }
}

#[tokio::test]
async fn without_redis_an_older_copy_in_the_process_is_passed_over() {
    if testing::skip_without_servers("without_redis_an_older_copy_in_the_process_is_passed_over") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let mut writer = service_on(redis, &LONG).await;
    let reader = beside(&writer).await;
    for path in VIEWS {
        assert_eq!(reader.get(path).await.status, StatusCode::OK);
        assert!(reader.get(path).await.cache_status().ends_with("detail=l1"));
    }
    writer.redis.stop_all().await;
    for round in 1..=5 {
        let made = price(&writer, round).await.header("larder-version").to_owned();
        for path in VIEWS {
            let read = not_older(&reader, path, &made).await;
            assert_eq!((read.status, minor(&read)), (StatusCode::OK, round), "{path}: {read:?}");
        }
    }
}
