//! Sampled answers are compared with Postgres, after the event.

use std::time::Duration;

use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::support::{Service, eventually, service};
use crate::telemetry::sum;

/// Nothing ends an entry before its time.
const LEFT_ALONE: [(&str, &str); 3] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "ttl"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("VERIFY__SAMPLE", "1"),
];

/// What was found out about answers to page requests.
async fn verified(service: &Service) -> Value {
    let shown = service.get("/admin/cache").await.json();
    let all = shown["namespaces"].as_array().expect("a list").clone();
    let page = all.into_iter().find(|n| n["namespace"] == "product-page").expect("is there");
    page["verified"].clone()
}

async fn becomes(service: &Service, sampled: u64, stale: u64) {
    let expected = json!({ "sampled": sampled, "stale": stale });
    eventually(Duration::from_secs(10), "the samples are compared", async || {
        verified(service).await == expected
    })
    .await;
}

/// Count and sum of the histogram, and how many answers were right.
async fn staleness(service: &Service) -> (f64, f64, f64) {
    let text = service.get("/metrics").await;
    let text = String::from_utf8(text.body.to_vec()).expect("UTF-8");
    let page = "larder_namespace=\"product-page\"";
    let of = |name, labels: &[&str]| sum(&text, name, labels);
    (
        of("larder_staleness_seconds_count", &[page]),
        of("larder_staleness_seconds_sum", &[page]),
        of("larder_staleness_seconds_bucket", &[page, "le=\"0\""]),
    )
}

#[tokio::test]
async fn a_change_that_nobody_announced_shows_up_as_staleness() {
    if skip_without_servers("a_change_that_nobody_announced_shows_up_as_staleness") {
        return;
    }
    let service = service(&LEFT_ALONE).await;
    service.connected().await;
    let page = service.get("/products/7").await;
    // Of a miss there is nothing to find out.
    assert!(page.cache_status().contains("fwd=miss"), "{}", page.cache_status());
    assert!(service.get("/products/7").await.cache_status().contains("hit"));
    becomes(&service, 1, 0).await;
    assert_eq!(staleness(&service).await, (1.0, 0.0, 1.0));

    service
        .database
        .execute("UPDATE products SET price_minor = price_minor + 1 WHERE id = 7")
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let old = service.get("/products/7").await;
    assert!(old.cache_status().contains("hit"), "{}", old.cache_status());
    assert_eq!(old.body, page.body);
    becomes(&service, 2, 1).await;
    let (count, total, right) = staleness(&service).await;
    assert_eq!((count, right), (2.0, 1.0));
    assert!((0.2..60.0).contains(&total), "{total}");
    // One load, and one statement for each sample, all of which Postgres has counted.
    let rows = service.get("/admin/queries").await.json()["rows"].clone();
    let rows = rows.as_array().expect("a list").clone();
    let samples = rows.iter().filter(|row| row["collection"] == "larder.versions");
    let samples: u64 = samples.filter_map(|row| row["completed"].as_u64()).sum();
    assert_eq!(samples, 2, "{rows:?}");
    let [completed, failed, unknown] = service.statements().await;
    assert_eq!((failed, unknown), (0, 0));
    assert_eq!(service.database.counted().await, completed);
}

#[tokio::test]
async fn nothing_is_compared_unless_it_is_asked_for() {
    if skip_without_servers("nothing_is_compared_unless_it_is_asked_for") {
        return;
    }
    let service = service(&LEFT_ALONE[..2]).await;
    service.connected().await;
    service.get("/products/7").await;
    let before = service.database.counted().await;
    for _ in 0..20 {
        assert!(service.get("/products/7").await.cache_status().contains("hit"));
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(service.database.counted().await, before);
    assert_eq!(verified(&service).await, json!({ "sampled": 0, "stale": 0 }));
}
