//! The cache is never why a request fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use larder_stack::{Topology, testing};

use crate::support::{Process, eventually, larder, service, service_on};

/// Asks `process` for pages with `clients` at a time until `stop`; answers by status, and those
/// of 503 without `Retry-After`.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    served: AtomicU64,
    hits: AtomicU64,
    shed: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    async fn client(&self, process: &Process, number: u64) {
        let mut next = number;
        while !self.stop.load(Ordering::Relaxed) {
            next = (next * 5 + 7) % 300;
            let answer = process.get(&format!("/products/{}", next + 1)).await;
            let counter = match answer.status.as_u16() {
                200 => {
                    let hit = answer.cache_status().starts_with("larder; hit");
                    self.hits.fetch_add(u64::from(hit), Ordering::Relaxed);
                    &self.served
                }
                503 if !answer.header("retry-after").is_empty() => &self.shed,
                _ => &self.failed,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> [u64; 4] {
        [&self.served, &self.hits, &self.shed, &self.failed].map(|n| n.load(Ordering::Relaxed))
    }
}

#[tokio::test]
async fn without_redis_requests_are_slower_and_none_fails() {
    if testing::skip_without_servers("without_redis_requests_are_slower_and_none_fails") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByOne).await;
    let mut service = service_on(redis, &[]).await;
    service.connected().await;
    let load = Arc::new(Load::default());
    let process = &service.process;
    let redis = &mut service.redis;
    let clients = futures(&load, process, 4);
    let outage = async {
        eventually(Duration::from_secs(30), "hits", async || load.read()[1] > 200).await;
        redis.stop_all().await;
        let before = load.read();
        eventually(Duration::from_secs(30), "pages from Postgres alone", async || {
            load.read()[0] > before[0] + 300
        })
        .await;
        redis.start_all().await;
        let after = load.read();
        eventually(Duration::from_secs(40), "hits again, without a restart", async || {
            load.read()[1] > after[1] + 300
        })
        .await;
        load.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(clients, outage);
    let [served, hits, shed, failed] = load.read();
    assert_eq!((shed, failed), (0, 0), "of {served} served, {hits} hits");
}

#[tokio::test]
async fn above_what_postgres_carries_requests_are_shed_with_retry_after() {
    if testing::skip_without_servers("above_what_postgres_carries_requests_are_shed") {
        return;
    }
    // No cache, one load at a time, no patience: far more is asked than may be loaded.
    let service = service(&[
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "none"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "none"),
        ("NAMESPACES__PRODUCT_PAGE__MAX_CONCURRENT_LOADS", "1"),
        ("NAMESPACES__PRODUCT_PAGE__LOAD_WAIT_MS", "1"),
    ])
    .await;
    let load = Arc::new(Load::default());
    let clients = futures(&load, &service, 16);
    let watch = async {
        eventually(Duration::from_secs(30), "some are served and some shed", async || {
            let [served, _, shed, failed] = load.read();
            (served > 100 && shed > 100) || failed > 0
        })
        .await;
        load.stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(clients, watch);
    let [served, _, shed, failed] = load.read();
    assert_eq!(failed, 0, "{served} served, {shed} shed");
}

#[tokio::test]
async fn the_service_starts_and_serves_without_redis() {
    if testing::skip_without_servers("the_service_starts_and_serves_without_redis") {
        return;
    }
    // Nothing listens on the discard port.
    let summaries = "NAMESPACES__PRODUCT_SUMMARY__";
    let settings = [
        ("REDIS__NODES", "redis://127.0.0.1:9"),
        (&format!("{summaries}STRATEGY"), "ttl"),
        (&format!("{summaries}TIERS"), "l2"),
        (&format!("{summaries}TTL_MS"), "7200000"),
        (&format!("{summaries}L1_TTL_MS"), "3600000"),
    ];
    let service = service(&settings).await;
    let answer = service.get("/products/1").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.cache_status(), "larder; fwd=bypass; detail=redis-unavailable");
    let ready = service.get("/readyz").await;
    assert_eq!((ready.status.as_u16(), ready.json()["redis"].as_str()), (200, Some("down")));

    // Nobody is made to believe that what could not be told is told later where it is not.
    let invalidate = async |arguments: &[&str]| {
        let (said, code) = larder(&service, &[&["invalidate"], arguments].concat()).await;
        assert_eq!(code, 0, "{arguments:?}: {said}");
        said
    };
    let said = invalidate(&["product-page", "--key", "1"]).await;
    assert!(said.contains("the change feed tells them"), "{said}");
    let said = invalidate(&["product-summary", "--key", "1"]).await;
    assert!(said.contains("nothing tells them later") && said.contains("7200.0 s"), "{said}");
    let said = invalidate(&["product-summary", "--key", "1", "--json"]).await;
    let answer: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert!(answer["told"] == false && answer["told_later"] == false, "{answer}");
    assert_eq!(answer["kept_elsewhere_ms"], 7_200_000, "{answer}");
}

async fn futures(load: &Load, process: &Process, clients: u64) {
    let all: Vec<_> = (0..clients).map(|number| load.client(process, number)).collect();
    futures_util::future::join_all(all).await;
}
