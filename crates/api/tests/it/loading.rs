//! How often Postgres is asked, by several processes, by its own count.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use larder_stack::{Topology, testing};
use serde_json::{Value, json};

use crate::support::{Process, Service, eventually, service, service_on};

const READ_THROUGH: [(&str, &str); 2] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
];

/// `service`'s own process and three more beside it.
async fn four(service: &Service) -> Vec<Process> {
    let others = join_all((0..3).map(|_| service.another())).await;
    for process in &others {
        reaches_redis(process).await;
    }
    others
}

async fn reaches_redis(process: &Process) {
    eventually(Duration::from_secs(20), "Redis is reached", async || {
        process.get("/admin/cache").await.json()["redis_available"] == true
    })
    .await;
}

/// What the product page's namespace has counted in `process`.
async fn page(process: &Process) -> Value {
    let shown = process.get("/admin/cache").await.json();
    let all = shown["namespaces"].as_array().expect("a list").clone();
    all.into_iter().find(|n| n["namespace"] == "product-page").expect("is there")
}

async fn sum(processes: &[&Process], field: &str) -> u64 {
    let mut sum = 0;
    for process in processes {
        sum += page(process).await[field].as_u64().expect("a number");
    }
    sum
}

#[tokio::test]
async fn a_thousand_requests_to_four_processes_are_one_statement() {
    if testing::skip_without_servers("a_thousand_requests_to_four_processes_are_one_statement") {
        return;
    }
    let service = service(&READ_THROUGH).await;
    service.connected().await;
    let others = four(&service).await;
    let processes: Vec<&Process> = others.iter().chain([&service.process]).collect();
    let before = service.database.counted().await;
    // Postgres holds the load until all requests are there.
    let lock = service.database.lock("reviews").await;
    let herd = join_all((0..1_000).map(|n| processes[n % 4].get("/products/7")));
    let release = async {
        eventually(Duration::from_secs(30), "all requests wait", async || {
            sum(&processes, "misses").await == 0
                && waiting(&processes).await >= 1_000 - processes.len() as u64
        })
        .await;
        lock.release().await;
    };
    let (answers, ()) = tokio::join!(herd, release);
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.body, answers[0].body);
    }
    assert_eq!(service.database.counted().await - before, 1);
    assert_eq!(sum(&processes, "loads").await, 1);
    assert_eq!(sum(&processes, "misses").await + sum(&processes, "hits").await, 1_000);
    // From now on each process has it.
    for process in &processes {
        let answer = process.get("/products/7").await;
        assert!(answer.cache_status().starts_with("larder; hit"), "{answer:?}");
    }
    assert_eq!(service.database.counted().await - before, 1);
}

/// Requests that wait for another one's load.
async fn waiting(processes: &[&Process]) -> u64 {
    let mut sum = 0;
    for process in processes {
        sum += page(process).await["coalesced"]["process"].as_u64().expect("a number");
    }
    sum
}

#[tokio::test]
async fn a_leader_that_dies_while_it_loads_is_replaced() {
    if testing::skip_without_servers("a_leader_that_dies_while_it_loads_is_replaced") {
        return;
    }
    let service = service(&READ_THROUGH).await;
    service.connected().await;
    let mut others = four(&service).await;
    let before = service.database.counted().await;
    let lock = service.database.lock("reviews").await;
    // The first process that is asked leads; then the others want the page, too.
    let leader = others.remove(0);
    let first = async {
        let _lost = leader.try_get("/products/9").await;
    };
    let rest: Vec<&Process> = others.iter().chain([&service.process]).collect();
    let herd = async {
        eventually(Duration::from_secs(10), "it loads", async || page(&leader).await["loads"] == 1)
            .await;
        join_all((0..300).map(|n| rest[n % 3].get("/products/9"))).await
    };
    let murder = async {
        eventually(Duration::from_secs(20), "the others wait", async || {
            waiting(&rest).await >= 297
        })
        .await;
        leader.kill_hard();
        let died = Instant::now();
        eventually(Duration::from_secs(10), "another one loads", async || {
            sum(&rest, "loads").await == 1
        })
        .await;
        let replaced = died.elapsed();
        lock.release().await;
        replaced
    };
    let ((), answers, replaced) = tokio::join!(first, herd, murder);
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    // A lease lives for a second.
    assert!(replaced < Duration::from_secs(4), "{replaced:?}");
    let statements = service.database.counted().await - before;
    assert!((1..=2).contains(&statements), "{statements}");
}

#[tokio::test]
async fn what_is_not_there_is_asked_for_once() {
    if testing::skip_without_servers("what_is_not_there_is_asked_for_once") {
        return;
    }
    let settings = [
        ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "read-through"),
        ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
        ("NAMESPACES__PRODUCT_SUMMARY__NEGATIVE_TTL_MS", "600000"),
        ("NAMESPACES__PRODUCT_SUMMARY__MAX_CONCURRENT_LOADS", "64"),
        // Patience: this counts statements, on a machine that others may use as well.
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "4500"),
    ];
    let service = service(&settings).await;
    service.connected().await;
    let ask = async |id: u64| service.get(&format!("/products/{id}/summary")).await;
    for round in 0..3 {
        let before = service.database.counted().await;
        stream::iter(0..10_000)
            .for_each_concurrent(32, async |n| {
                let answer = ask(1_000_000 + n).await;
                assert_eq!(answer.status, StatusCode::NOT_FOUND, "{answer:?}");
            })
            .await;
        let statements = service.database.counted().await - before;
        assert_eq!(statements, if round == 0 { 10_000 } else { 0 }, "round {round}");
    }
    assert!(ask(1_000_000).await.cache_status().starts_with("larder; hit"));
    // The next product gets an id that was asked for before, and is found at once.
    let next = 301;
    assert_eq!(ask(next).await.status, StatusCode::NOT_FOUND);
    let product = json!({
        "sku": "NEW-1", "name": "New", "description": "", "category": "kitchen",
        "price": { "minor": 100, "currency": "EUR" }, "attributes": {}, "variants": []
    });
    let created = service.json(Method::POST, "/products", &product).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(created.json()["id"], next);
    assert_eq!(ask(next).await.status, StatusCode::OK);
}

#[tokio::test]
async fn without_postgres_stale_pages_are_served_and_say_so() {
    if testing::skip_without_servers("without_postgres_stale_pages_are_served_and_say_so") {
        return;
    }
    let redis = testing::redis_cluster(Topology::ThreeByZero).await;
    let settings = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
        ("NAMESPACES__PRODUCT_PAGE__TTL_MS", "500"),
        ("NAMESPACES__PRODUCT_PAGE__STALE_FOR_MS", "60000"),
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "1000"),
    ];
    let service = service_on(redis, &settings).await;
    service.connected().await;
    for id in 1..=20 {
        assert_eq!(service.get(&format!("/products/{id}")).await.status, StatusCode::OK);
    }
    service.database.shut().await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    for id in 1..=20 {
        let answer = service.get(&format!("/products/{id}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let status = answer.cache_status();
        assert!(status.starts_with("larder; hit; ttl=-1; detail=stale-l"), "{status}");
    }
    let answer = service.get("/products/200").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert_eq!(answer.header("retry-after"), "1");

    service.database.open().await;
    let back = Instant::now();
    eventually(Duration::from_secs(10), "pages are loaded again", async || {
        service.get("/products/200").await.status == StatusCode::OK
    })
    .await;
    assert!(back.elapsed() < Duration::from_secs(1), "{:?}", back.elapsed());
    eventually(Duration::from_secs(10), "stale pages are replaced", async || {
        !service.get("/products/1").await.cache_status().contains("stale")
    })
    .await;
}
