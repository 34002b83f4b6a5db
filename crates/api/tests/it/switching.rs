//! A strategy that is switched at one process is switched at all of them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use larder_stack::Topology;
use larder_stack::testing::{self, skip_without_servers};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Answer, Process, Service, eventually, larder, service, service_on};

const SOON: Duration = Duration::from_secs(20);
const PAGES: &str = "product-page";

/// Nothing but an invalidation ends an entry.
const LASTING: [(&str, &str); 6] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_PAGE__L1_TTL_MS", "3600000"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__L1_TTL_MS", "3600000"),
];

async fn put(process: &Process, namespace: &str, strategy: &str) -> Answer {
    let tiers = if strategy == "none" { "none" } else { "l1+l2" };
    let body = json!({ "namespace": namespace, "strategy": strategy, "tiers": tiers });
    process.json(Method::PUT, "/admin/strategy", &body).await
}

/// The strategy and the generation of the pages' namespace, as the process says.
async fn shown(process: &Process) -> (String, u64, Value) {
    let answer = process.get("/admin/strategy").await.json();
    let namespaces = answer["namespaces"].as_array().expect("namespaces");
    let pages = namespaces.iter().find(|it| it["namespace"] == PAGES).expect("the pages");
    let strategy = pages["strategy"].as_str().expect("a strategy").to_owned();
    (strategy, pages["generation"].as_u64().expect("a generation"), pages.clone())
}

async fn price(process: &Process, id: u32) -> i64 {
    let answer = process.get(&format!("/products/{id}")).await;
    answer.json()["price"]["minor"].as_i64().expect("a price")
}

async fn write(process: &Process, id: u32, minor: i64) -> Answer {
    let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
    process.json(Method::PATCH, &format!("/products/{id}"), &patch).await
}

async fn is_in_the_table(service: &Service, id: u32, minor: i64) -> bool {
    let sql = format!("SELECT 1 / (price_minor = {minor})::integer FROM products WHERE id = {id}");
    service.database.try_execute(&sql).await.is_ok()
}

#[tokio::test]
async fn a_switch_at_one_process_is_one_of_all_and_of_those_that_start_later() {
    if skip_without_servers("a_switch_at_one_process_is_one_of_all") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let elsewhere = service.another_with(&[("CACHE__ENVIRONMENT", &testing::unique("else"))]).await;
    assert_eq!(shown(&other).await.0, "read-through");

    let switched = put(&service, PAGES, "none").await;
    assert_eq!(switched.status, StatusCode::OK, "{switched:?}");
    let answer = switched.json();
    assert_eq!(answer["complete"], true, "{answer}");
    let processes = answer["processes"].as_array().expect("processes");
    assert_eq!(processes.len(), 2, "those of this environment: {answer}");
    for process in processes {
        assert_eq!(process["generation"], 1, "{answer}");
        assert_eq!(process["settled"], 1, "{answer}");
    }
    // It is so by the time of the answer.
    let asked = other.get("/products/1").await;
    assert_eq!(asked.cache_status(), "larder; fwd=bypass; detail=strategy-none");
    assert_eq!(shown(&elsewhere).await.0, "read-through");

    let later = service.another().await;
    let (strategy, generation, about) = shown(&later).await;
    assert_eq!((strategy.as_str(), generation), ("none", 1), "{about}");
    assert_eq!(about["configured"]["strategy"], "read-through");
    assert_eq!(about["chosen"], true);
    let config = later.get("/admin/config").await.json();
    assert_eq!(config["namespaces"][PAGES]["strategy"], "none", "{config}");
    assert_eq!(config["namespaces"][PAGES]["tiers"], "none", "{config}");
    assert_eq!(config["switched"][PAGES]["instead_of"]["strategy"], "read-through", "{config}");
    assert_eq!(config["switched"][PAGES]["generation"], 1, "{config}");
    assert!(config["switched"].get("product-summary").is_none(), "{config}");

    // The same once more is no other generation: what is cached stays.
    assert_eq!(put(&other, PAGES, "none").await.json()["generation"], 1);
    let reset = other.send(Method::DELETE, &format!("/admin/strategy/{PAGES}"), &[], "").await;
    assert_eq!(reset.status, StatusCode::OK, "{reset:?}");
    for process in [&service.process, &other, &later] {
        let (strategy, generation, about) = shown(process).await;
        assert_eq!((strategy.as_str(), generation), ("read-through", 2), "{about}");
        assert_eq!(about["chosen"], false);
        let config = process.get("/admin/config").await.json();
        assert_eq!(config["switched"], json!({}), "{config}");
    }
    // So does a switch to nothing in particular.
    assert_eq!(put(&service, PAGES, "cache-aside").await.json()["generation"], 3);
    let nothing = json!({ "namespace": PAGES, "strategy": null });
    let nothing = service.json(Method::PUT, "/admin/strategy", &nothing).await;
    assert_eq!(nothing.json()["generation"], 4, "{nothing:?}");
    assert_eq!(shown(&later).await.0, "read-through");
}

#[tokio::test]
async fn what_cannot_be_switched_to_is_named_and_changes_nothing() {
    if skip_without_servers("what_cannot_be_switched_to_is_named") {
        return;
    }
    let service = service(&[("NAMESPACES__PRODUCT_PAGE__TTL_MS", "0")]).await;
    let cases = [
        (json!({ "namespace": "shoes", "strategy": "none", "tiers": "none" }), "namespace"),
        (json!({ "namespace": PAGES, "strategy": "magic", "tiers": "l2" }), "strategy"),
        (json!({ "namespace": PAGES, "strategy": "none", "tiers": "l2" }), "tiers"),
        (json!({ "namespace": PAGES, "strategy": "none" }), "tiers"),
        (json!({ "namespace": PAGES, "tiers": "l2" }), "tiers"),
        (json!({ "namespace": PAGES, "strategy": "ttl", "tiers": "l2" }), "ttl"),
    ];
    for (body, field) in cases {
        let refused = service.json(Method::PUT, "/admin/strategy", &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {refused:?}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{body}: {refused:?}");
    }
    let unknown = service.send(Method::DELETE, "/admin/strategy/shoes", &[], "").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    assert_eq!(shown(&service).await.1, 0);

    // Another process, whose configuration allows it, chooses what this one cannot do.
    let able = service.another_with(&[
        ("NAMESPACES__PRODUCT_PAGE__TTL_MS", "60000"),
        ("SERVER__REQUEST_DEADLINE_MS", "2000"),
    ]);
    let able = able.await;
    let switched = put(&able, PAGES, "ttl").await;
    assert_eq!(switched.status, StatusCode::ACCEPTED, "{switched:?}");
    let answer = switched.json();
    assert_eq!(answer["complete"], false);
    assert_eq!(answer["late"].as_array().map(Vec::len), Some(2), "neither is sure: {answer}");
    assert_eq!(shown(&able).await.0, "ttl");
    assert_eq!(shown(&service).await.0, "cache-aside");
    assert!(service.log().contains("what was chosen cannot be used here"), "{}", service.log());
    let config = service.get("/admin/config").await.json();
    assert_eq!(config["switched"][PAGES]["usable"], false, "{config}");
    // One that starts so serves what it is configured for.
    assert_eq!(shown(&service.another().await).await.0, "cache-aside");
}

#[tokio::test]
async fn a_process_that_does_not_follow_is_named_and_follows_when_it_can() {
    if skip_without_servers("a_process_that_does_not_follow_is_named") {
        return;
    }
    let deadline = [("SERVER__REQUEST_DEADLINE_MS", "2000")];
    let service = service(&[&LASTING[..], &deadline].concat()).await;
    service.connected().await;
    let frozen = service.another().await;
    frozen.signal(Signal::STOP);
    let switched = put(&service, PAGES, "ttl").await;
    assert_eq!(switched.status, StatusCode::ACCEPTED, "{switched:?}");
    let answer = switched.json();
    let address = frozen.url.trim_start_matches("http://");
    let processes = answer["processes"].as_array().expect("processes");
    let it = processes.iter().find(|it| it["address"] == address).expect("it is listed");
    assert_eq!(it["generation"], 0, "{answer}");
    assert!(answer["late"].as_array().expect("late").contains(&it["process"]), "{answer}");
    // What is not settled is relayed still: the frozen one may wake with what it held.
    frozen.signal(Signal::CONT);
    eventually(SOON, "it follows", async || shown(&frozen).await.0 == "ttl").await;
    eventually(SOON, "all know", async || {
        let answer = service.get("/admin/strategy").await.json();
        let processes = answer["processes"].as_array().expect("processes").clone();
        processes.len() == 2 && processes.iter().all(|it| it["settled"] == 1)
    })
    .await;
    // One that died is not waited for, and one that ends takes its leave.
    frozen.kill_hard();
    eventually(SOON, "nobody waits for it", async || {
        put(&service, PAGES, "read-through").await.status == StatusCode::OK
    })
    .await;
    let mut third = service.another().await;
    assert_eq!(shown(&third).await.0, "read-through");
    third.terminate().await;
    let answer = service.get("/admin/strategy").await.json();
    assert_eq!(answer["processes"].as_array().map(Vec::len), Some(1), "{answer}");
}

#[tokio::test]
async fn a_switch_needs_no_redis_and_survives_all_processes() {
    if skip_without_servers("a_switch_needs_no_redis_and_survives_all_processes") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let mut service = service_on(redis, &LASTING).await;
    service.connected().await;
    let other = service.another().await;
    service.redis.stop_all().await;
    let switched = put(&service, PAGES, "write-through").await;
    assert_eq!(switched.status, StatusCode::OK, "{switched:?}");
    assert_eq!(switched.json()["processes"].as_array().map(Vec::len), Some(2));
    assert_eq!(shown(&other).await.0, "write-through");
    service.redis.start_all().await;
    for process in [&service.process, &other] {
        process.kill_hard();
    }
    let later = service.another().await;
    assert_eq!(shown(&later).await.0, "write-through");
}

#[tokio::test]
async fn following_costs_the_application_no_statement() {
    if skip_without_servers("following_costs_the_application_no_statement") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let before = service.statements().await[0];
    let [of_other, ..] = statements(&other).await;
    assert_eq!(put(&service, PAGES, "ttl").await.status, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(3)).await;
    // The choice itself is one, of the process that was asked.
    assert_eq!(service.statements().await[0], before + 1);
    assert_eq!(statements(&other).await[0], of_other);
}

async fn statements(process: &Process) -> [u64; 2] {
    let totals = process.get("/admin/queries").await.json()["totals"].clone();
    ["completed", "unknown"].map(|name| totals[name].as_u64().expect("a count"))
}

/// How old an answer may be at most: far above what telling takes, below how long a strategy is in
/// force here.
const BOUND: Duration = Duration::from_secs(2);
const IN_FORCE: Duration = Duration::from_millis(2_500);

/// A write that was acknowledged.
#[derive(Clone, Copy)]
struct Acknowledged {
    at: Instant,
    minor: i64,
}

/// What was written and read of each product while strategies were switched.
#[derive(Default)]
struct History {
    writes: BTreeMap<u32, Vec<Acknowledged>>,
    reads: Vec<(Instant, u32, i64, String)>,
}

/// Writes `id` through one process and the other in turn, ever higher.
async fn writer(processes: [&Process; 2], id: u32, stop: watch::Receiver<bool>) -> History {
    let mut history = History::default();
    let mut minor = 1_000;
    while !*stop.borrow() {
        minor += 1;
        let process = processes[usize::from(minor % 2 == 0)];
        let answer = write(process, id, minor).await;
        assert!(answer.status.is_success(), "{answer:?}");
        let at = Instant::now();
        history.writes.entry(id).or_default().push(Acknowledged { at, minor });
        // Rare enough that what was missed would be seen.
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    history
}

async fn reader(process: &Process, ids: [u32; 2], stop: watch::Receiver<bool>) -> History {
    let mut history = History::default();
    while !*stop.borrow() {
        for id in ids {
            let began = Instant::now();
            let answer = process.get(&format!("/products/{id}")).await;
            let minor = answer.json()["price"]["minor"].as_i64().expect("a price");
            history.reads.push((began, id, minor, answer.cache_status().to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    history
}

#[tokio::test]
async fn switching_back_and_forth_shows_nothing_old_and_loses_nothing() {
    if skip_without_servers("switching_back_and_forth_shows_nothing_old") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let both = [&service.process, &other];
    let ids = [3, 4];
    for id in ids {
        assert!(write(&service, id, 1_000).await.status.is_success());
    }
    let (end, stop) = watch::channel(false);
    // While `ttl` is in force, and until it is so nowhere, only the TTL ends an entry.
    let mut by_ttl = Vec::new();
    let switching = async {
        let round = ["none", "read-through", "ttl", "cache-aside", "write-behind", "write-through"];
        for (turn, strategy) in round.into_iter().chain(["ttl", "write-behind", "none"]).enumerate()
        {
            let began = Instant::now();
            for namespace in [PAGES, "product-summary"] {
                let switched = put(both[turn % 2], namespace, strategy).await;
                assert_eq!(switched.status, StatusCode::OK, "{strategy}: {switched:?}");
            }
            tokio::time::sleep(IN_FORCE).await;
            if strategy == "ttl" {
                by_ttl.push((began, Instant::now() + Duration::from_secs(1)));
            }
        }
        end.send(true).expect("they listen");
    };
    let writers = join_all(ids.map(|id| writer(both, id, stop.clone())));
    let readers = join_all(both.map(|process| reader(process, ids, stop.clone())));
    let (_, wrote, read) = tokio::join!(switching, writers, readers);

    let writes: BTreeMap<u32, Vec<Acknowledged>> =
        wrote.into_iter().flat_map(|history| history.writes).collect();
    let mut checked = 0;
    for (began, id, minor, status) in read.into_iter().flat_map(|history| history.reads) {
        if by_ttl.iter().any(|(from, until)| (*from..*until).contains(&began)) {
            continue;
        }
        checked += 1;
        let due = writes[&id].iter().rev().find(|write| write.at + BOUND <= began);
        let due = due.map_or(1_000, |write| write.minor);
        assert!(minor >= due, "product {id}: {minor}, not {due}, {status}");
    }
    assert!(checked > 500, "{checked} reads");
    for (id, written) in &writes {
        let last = written.last().expect("it was written").minor;
        eventually(SOON, "the last write is in the table", async || {
            is_in_the_table(&service, *id, last).await
        })
        .await;
        for process in both {
            assert_eq!(price(process, *id).await, last);
        }
    }
}

#[tokio::test]
async fn a_switch_that_needs_a_relay_says_so_where_there_is_none() {
    if skip_without_servers("a_switch_that_needs_a_relay_says_so") {
        return;
    }
    let settings = [("FEED__ENABLED", "false"), ("SERVER__REQUEST_DEADLINE_MS", "2000")];
    let service = service(&[&LASTING[..], &settings].concat()).await;
    service.connected().await;
    let warned = async |strategy: &str| {
        let switched = put(&service, PAGES, strategy).await;
        assert!(switched.status.is_success(), "{switched:?}");
        let warning = switched.json()["warning"].as_str().map(str::to_owned);
        warning.is_some_and(|warning| warning.contains("feed.enabled is false"))
    };
    // One process alone is told of its own writes.
    assert!(!warned("ttl").await && !warned("read-through").await);
    let other = service.another().await;
    assert!(!warned("none").await, "what nobody is told of need not be told");
    assert!(warned("cache-aside").await);
    assert!(!warned("write-through").await && !warned("ttl").await);
    let set = ["strategy", "set", PAGES, "read-through"];
    let (said, code) = larder(&service, &set).await;
    assert!(code == 0 && said.contains("Warning: feed.enabled is false here"), "{said}");
    // Who asks again is told again, while there is one that has not followed.
    assert!(!warned("ttl").await);
    other.signal(Signal::STOP);
    assert!(warned("cache-aside").await && warned("cache-aside").await);
}

#[tokio::test]
async fn a_right_that_is_missing_is_not_said_to_pass() {
    if skip_without_servers("a_right_that_is_missing_is_not_said_to_pass") {
        return;
    }
    let service = service(&[]).await;
    let function = "FUNCTION larder.choose_strategy(text, text, text, text)";
    let role = "larder_application";
    service.database.execute(&format!("REVOKE EXECUTE ON {function} FROM {role}")).await;
    let body = json!({ "namespace": "product-page", "strategy": "none", "tiers": "none" });
    let refused = service.json(Method::PUT, "/admin/strategy", &body).await;
    assert_eq!(refused.status, 500, "{refused:?}");
    assert_eq!(refused.header("retry-after"), "");
    assert!(service.log().contains("permission denied"), "{}", service.log());
    service.database.execute(&format!("GRANT EXECUTE ON {function} TO {role}")).await;
    let switched = service.json(Method::PUT, "/admin/strategy", &body).await;
    assert_eq!(switched.status, 200, "{switched:?}");
}
