//! What an operator asks and does, by the command line `larder`.

use std::time::Duration;

use hyper::Method;
use larder_stack::testing::skip_without_servers;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{KEY, Process, eventually, larder, service};

const SOON: Duration = Duration::from_secs(20);

/// Both tiers, with entries that live on unless something ends them.
const LASTING: [(&str, &str); 7] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_PAGE__L1_TTL_MS", "3600000"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "ttl"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__TTL_MS", "7200000"),
    ("NAMESPACES__PRODUCT_SUMMARY__L1_TTL_MS", "3600000"),
];

/// What is said where that is to succeed.
async fn says(process: &Process, arguments: &[&str]) -> String {
    let (said, code) = larder(process, arguments).await;
    assert_eq!(code, 0, "{arguments:?}: {said}");
    said
}

async fn json_of(process: &Process, arguments: &[&str]) -> Value {
    let said = says(process, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

async fn is_held(process: &Process, path: &str) -> bool {
    process.get(path).await.cache_status().contains("detail=l1")
}

async fn warm(process: &Process, path: &str) {
    eventually(SOON, "it is held", async || is_held(process, path).await).await;
}

#[tokio::test]
async fn what_the_cache_does_is_told_for_people_and_for_scripts() {
    if skip_without_servers("what_the_cache_does_is_told_for_people_and_for_scripts") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    warm(&service, "/products/7").await;

    let stats = says(&service, &["stats"]).await;
    let page = stats.lines().find(|line| line.starts_with("product-page")).expect("the pages");
    assert!(page.contains("read-through") && page.contains("l1+l2"), "{stats}");
    assert!(stats.contains("redis          up"), "{stats}");
    let shown = json_of(&service, &["stats"]).await;
    let pages = &shown["cache"]["namespaces"][0];
    assert_eq!(pages["namespace"], "product-page");
    let number = |value: &Value| value.as_u64().expect("a count");
    let lookups = number(&pages["hits"]) + number(&pages["misses"]);
    assert!(page.split_whitespace().any(|cell| cell == lookups.to_string()), "{stats}");

    let inspected = says(&service, &["inspect", "product-page", "7"]).await;
    for tier in ["l1", "l2"] {
        let line = inspected.lines().find(|line| line.starts_with(tier)).expect("both hold it");
        assert!(line.contains("value") && line.contains("fresh"), "{inspected}");
    }
    let etag = service.get("/products/7").await.header("etag").replace('"', "");
    let held = json_of(&service, &["inspect", "product-page", "7"]).await;
    assert_eq!(held["l2"]["version"], etag, "{held}");
    assert!(says(&service, &["inspect", "product-page", "299"]).await.contains("No tier"));
    let (unknown, code) = larder(&service, &["inspect", "shoes", "7"]).await;
    assert!(code == 1 && unknown.contains("no such namespace"), "{unknown}");
    let (zero, code) = larder(&service, &["inspect", "product-page", "0"]).await;
    assert!(code == 1 && zero.contains("id:"), "{zero}");

    eventually(SOON, "somebody relays", async || {
        let both = format!("{},{}", service.url, other.url);
        let told = json_of(&service, &["relay", "--api", &both]).await;
        let processes = told["processes"].as_array().expect("processes").clone();
        assert_eq!(processes.len(), 2, "{told}");
        let relays = |it: &&Value| it["coherence"]["relay"]["active"] == true;
        processes.iter().filter(relays).count() == 1
    })
    .await;
    let relay = says(&service, &["relay"]).await;
    assert!(relay.lines().count() == 2 && relay.contains(&service.url), "{relay}");

    let config = says(&service, &["config"]).await;
    assert!(config.contains("server.admin_key = \"***\""), "{config}");
    assert!(config.contains("namespaces.product-page.strategy = \"read-through\""), "{config}");
    assert!(config.contains(":***@") && !config.contains(KEY), "{config}");
}

#[tokio::test]
async fn a_key_a_tag_and_a_namespace_are_made_old_in_all_processes() {
    if skip_without_servers("a_key_a_tag_and_a_namespace_are_made_old") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let (seven, eight) = ("/products/7", "/products/8");
    for process in [&service.process, &other] {
        for path in [seven, eight] {
            warm(process, path).await;
        }
    }
    let version = service.get(seven).await.header("etag").to_owned();
    let said = says(&service, &["invalidate", "product-page", "--key", "7"]).await;
    assert!(said.contains("All have been told"), "{said}");
    let read = service.get(seven).await;
    assert!(read.cache_status().contains("fwd=miss"), "{}", read.cache_status());
    // The same content in another version: it is not what it was loaded from.
    assert_ne!(read.header("etag"), version);
    eventually(SOON, "the other one, too", async || {
        other.get(seven).await.header("etag") == read.header("etag")
    })
    .await;
    assert!(is_held(&service, eight).await && is_held(&other, eight).await, "no other key");

    // Also where entries go by their TTL; and nobody is made to believe that it reaches the deaf.
    let summary = "/products/7/summary";
    for process in [&service.process, &other] {
        warm(process, summary).await;
    }
    let invalidate = ["invalidate", "product-summary", "--key", "7"];
    let said = says(&service, &invalidate).await;
    assert!(said.contains("All that hear the backplane have been told"), "{said}");
    assert!(said.contains("for 3600.0 s at most"), "{said}");
    assert!(!is_held(&service, summary).await);
    eventually(SOON, "the other one, too", async || !is_held(&other, summary).await).await;
    let answer = json_of(&service, &invalidate).await;
    assert!(answer["told"] == true && answer["told_later"] == false, "{answer}");
    assert_eq!(answer["kept_elsewhere_ms"], 3_600_000, "{answer}");
    let set = ["strategy", "set", "product-summary", "ttl", "--tiers", "l2"];
    says(&service, &set).await;
    let answer = json_of(&service, &invalidate).await;
    assert!(answer["told"] == true && answer.get("kept_elsewhere_ms").is_none(), "{answer}");
    says(&service, &["strategy", "reset", "product-summary"]).await;

    // Nor is a tag said to have ended anything.
    let tag = ["invalidate", "product-page", "--tag", "brand/7 %"];
    let (refused, code) = larder(&service, &tag).await;
    assert!(code == 1 && refused.contains("no value of product-page has tags"), "{refused}");
    let growing = "DO $$ DECLARE a bigint; b bigint; BEGIN
        SELECT version INTO a FROM larder.invalidate_tag('product-page', 'brand');
        SELECT version INTO b FROM larder.invalidate_tag('product-page', 'brand');
        ASSERT b = a + 1; END $$";
    service.database.execute(growing).await;

    // All of it, also where nothing but the TTL ends an entry.
    for (namespace, path) in [("product-page", eight), ("product-summary", "/products/8/summary")] {
        for process in [&service.process, &other] {
            warm(process, path).await;
        }
        let before = other.get(path).await.header("etag").to_owned();
        says(&service, &["invalidate", namespace, "--all"]).await;
        for process in [&service.process, &other] {
            eventually(SOON, "all of it is old", async || {
                process.get(path).await.header("etag") != before
            })
            .await;
        }
    }
    let (which, code) = larder(&service, &["invalidate", "product-page"]).await;
    assert!(code == 2 && which.contains("--key"), "{which}");
}

#[tokio::test]
async fn under_ttl_one_that_was_frozen_lets_go_of_a_key_when_it_hears_again() {
    if skip_without_servers("under_ttl_one_that_was_frozen_lets_go_of_a_key") {
        return;
    }
    let service = service(&LASTING).await;
    service.connected().await;
    let other = service.another().await;
    let (seven, eight) = ("/products/7/summary", "/products/8/summary");
    for path in [seven, eight] {
        for process in [&service.process, &other] {
            warm(process, path).await;
        }
    }
    let before = other.get(seven).await.header("etag").to_owned();
    other.signal(Signal::STOP);
    let answer = json_of(&service, &["invalidate", "product-summary", "--key", "7"]).await;
    assert!(answer["told"] == true && answer["kept_elsewhere_ms"] == 3_600_000, "{answer}");
    other.signal(Signal::CONT);
    eventually(SOON, "it has heard", async || other.get(seven).await.header("etag") != before)
        .await;
    assert!(is_held(&other, eight).await, "no other key");
}

#[tokio::test]
async fn strategies_are_shown_switched_and_reset() {
    if skip_without_servers("strategies_are_shown_switched_and_reset") {
        return;
    }
    let service = service(&LASTING).await;
    let other = service.another().await;
    let shown = says(&service, &["strategy", "show"]).await;
    let page = shown.lines().find(|line| line.starts_with("product-page")).expect("the pages");
    assert!(page.contains("read-through") && page.contains("configured"), "{shown}");
    let address = other.url.trim_start_matches("http://");
    assert!(shown.contains(address), "{shown}");
    let set = says(&service, &["strategy", "set", "product-page", "none"]).await;
    assert!(set.contains("none, none") && set.contains("all 2 processes"), "{set}");
    let shown = json_of(&other, &["strategy", "show"]).await;
    assert_eq!(shown["namespaces"][0]["strategy"], "none", "{shown}");
    let set = ["strategy", "set", "product-page", "ttl", "--tiers", "l2"];
    assert_eq!(json_of(&other, &set).await["tiers"], "l2");
    let reset = says(&service, &["strategy", "reset", "product-page"]).await;
    assert!(reset.contains("runs under read-through, l1+l2"), "{reset}");
    let (magic, code) = larder(&service, &["strategy", "set", "product-page", "magic"]).await;
    assert!(code == 1 && magic.contains("strategy:"), "{magic}");
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked_and_open_what_they_say() {
    if skip_without_servers("keys_are_made_listed_and_revoked") {
        return;
    }
    let service = service(&LASTING).await;
    let made = ["keys", "create", "--scopes", "read,write", "--note", "the importer"];
    let made = json_of(&service, &made).await;
    let (id, key) = (made["id"].as_str().expect("an id"), made["key"].as_str().expect("a key"));
    let listed = says(&service, &["keys", "list"]).await;
    let line = listed.lines().find(|line| line.starts_with(id)).expect("it is listed");
    assert!(line.contains("read,write") && line.contains("the importer"), "{listed}");
    assert!(!listed.contains(key), "{listed}");

    assert!(says(&service, &["stats", "--api-key", key]).await.contains("product-page"));
    let (forbidden, code) = larder(&service, &["keys", "list", "--api-key", key]).await;
    assert_eq!(code, 0, "who looks may look at what keys there are: {forbidden}");
    let (forbidden, code) = larder(&service, &["keys", "revoke", id, "--api-key", key]).await;
    assert!(code == 77 && forbidden.contains("scope admin"), "{forbidden}");
    assert!(says(&service, &["keys", "revoke", id]).await.contains("opens nothing"));
    let (refused, code) = larder(&service, &["stats", "--api-key", key]).await;
    assert!(code == 77 && !refused.contains(key), "{refused}");
    let answer = service.json(Method::POST, "/admin/keys", &json!({ "scopes": ["read"] })).await;
    let printed = answer.json()["key"].as_str().expect("a key").to_owned();
    assert!(says(&service, &["config", "--api-key", &printed]).await.contains("server.mode"));
}
