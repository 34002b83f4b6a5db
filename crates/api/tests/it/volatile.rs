//! `write-behind` in the mode `volatile`: what its answers say, what readers see, and what a crash costs.

use std::future::ready;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::support::{Answer, Process, Service, eventually, service};

const NEVER: &str = "600000";

async fn volatile(flush_after_ms: &str) -> Service {
    let service = service(&[
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
        ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "write-behind"),
        ("WRITE_BEHIND__MODE", "volatile"),
        ("WRITE_BEHIND__FLUSH_AFTER_MS", flush_after_ms),
    ])
    .await;
    service.connected().await;
    service
}

async fn patch(process: &Process, id: i64, patch: Value) -> Answer {
    process.json(Method::PATCH, &format!("/products/{id}"), &patch).await
}

async fn reprice(process: &Process, id: i64, minor: i64) -> Answer {
    let written = patch(process, id, json!({ "price": { "minor": minor, "currency": "EUR" } }));
    let written = written.await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    written
}

fn minor(answer: &Answer) -> i64 {
    answer.json()["price"]["minor"].as_i64().expect("a price")
}

async fn became(process: &Process, written: &Answer) -> String {
    let found = process.get(&format!("/writes/{}", written.header("larder-position"))).await;
    match found.status {
        StatusCode::NOT_FOUND => "unknown".to_owned(),
        _ => found.json()["state"].as_str().expect("a state").to_owned(),
    }
}

#[tokio::test]
async fn a_write_is_seen_at_once_in_its_process_alone_and_lost_with_it() {
    if skip_without_servers("a_write_is_seen_at_once_in_its_process_alone_and_lost_with_it") {
        return;
    }
    let service = volatile(NEVER).await;
    let other = service.another().await;
    let shown = service.get("/products/1").await.json()["related"][0]["id"].as_i64();
    let shown = shown.expect("page 1 shows a product");
    // Warm in both tiers.
    let before = service.get("/products/1").await;
    let (old, summary_before) = (minor(&before), service.get("/products/1/summary").await);

    let written = reprice(&service, 1, 4_242).await;
    assert_eq!(written.header("larder-mode"), "volatile");
    assert_eq!((written.header("etag"), written.header("larder-version")), ("", ""));
    let body = written.json();
    assert_eq!((&body["mode"], body.get("version")), (&json!("volatile"), None));
    assert_eq!(body["position"].to_string(), written.header("larder-position"));
    reprice(&service, shown, 777).await;
    assert_eq!(became(&service, &written).await, "pending");

    let page = service.get("/products/1").await;
    assert!(page.cache_status().contains("; hit;"), "{}", page.cache_status());
    assert_eq!((minor(&page), &page.json()["related"][0]["price"]["minor"]), (4_242, &json!(777)));
    let summary = service.get("/products/1/summary").await;
    assert_eq!(minor(&summary), 4_242);
    for (answer, before) in [(&page, &before), (&summary, &summary_before)] {
        let (tag, plain) = (answer.header("etag"), before.header("etag"));
        assert_ne!(tag, plain, "another content");
        assert!(tag.starts_with(plain.trim_end_matches('"')), "of the same version: {tag} {plain}");
        let same =
            service.send(Method::GET, "/products/1", &[("larder-min-version", tag)], "").await;
        assert_eq!(same.status, StatusCode::OK, "what an answer says can be asked for");
    }
    let known = [("if-none-match", page.header("etag"))];
    let unchanged = service.send(Method::GET, "/products/1", &known, "").await;
    assert_eq!(unchanged.status, StatusCode::NOT_MODIFIED);
    reprice(&service, 1, 4_243).await;
    let changed = service.send(Method::GET, "/products/1", &known, "").await;
    assert_eq!((changed.status, minor(&changed)), (StatusCode::OK, 4_243));
    assert_eq!(service.get("/admin/journal").await.json()["mode"], "volatile");
    assert_eq!(minor(&other.get("/products/1").await), old, "no other process sees it");

    // The promise that this mode does not make.
    service.kill_hard();
    let next = service.another().await;
    assert_eq!(became(&next, &written).await, "unknown");
    for process in [&next, &other] {
        assert_eq!(minor(&process.get("/products/1").await), old, "acknowledged, and lost");
    }
}

#[tokio::test]
async fn a_reader_never_sees_a_write_undone_or_done_twice_across_its_flush() {
    if skip_without_servers("a_reader_never_sees_a_write_undone_or_done_twice") {
        return;
    }
    let service = volatile("10").await;
    let variant = service.get("/products/1").await.json()["variants"][0].clone();
    let sku = variant["sku"].as_str().expect("a SKU").to_owned();
    let stocked = json!({ "stock": [{ "sku": sku, "stock": 1_000 }] });
    assert_eq!(patch(&service, 1, stocked).await.status, StatusCode::ACCEPTED);
    let seen = async || {
        let page = service.get("/products/1").await.json();
        let variants = page["variants"].as_array().expect("variants").clone();
        let it = variants.into_iter().find(|v| v["sku"] == sku.as_str()).expect("it is there");
        it["stock"].as_i64().expect("a stock")
    };
    // Flushes come in between: what is read is from before or after one, or in its middle.
    let mut last = None;
    for sold in 1..=400_i64 {
        let order = json!({ "stock_delta": [{ "sku": sku, "delta": -1 }] });
        let written = patch(&service, 1, order).await;
        assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
        for _ in 0..3 {
            assert_eq!(seen().await, 1_000 - sold);
        }
        last = Some(written);
    }
    let status = service.get("/admin/journal").await.json();
    assert!(status["process"]["flushes"].as_u64() > Some(5), "{status}");
    let last = last.expect("400 orders");
    eventually(Duration::from_secs(5), "all is applied", async || {
        became(&service, &last).await == "flushed"
    })
    .await;
    assert_eq!(seen().await, 600);
    // Another process sees what was applied, and the version is a plain one.
    let other = service.another().await;
    let page = other.get("/products/1").await;
    assert!(!page.header("etag").contains('+'));
    assert_eq!(service.get("/admin/dead-letters").await.json()["dead_letters"], json!([]));
}

#[tokio::test]
async fn too_large_an_order_is_refused_at_once_and_what_does_not_wait_comes_after_what_waits() {
    if skip_without_servers("too_large_an_order_is_refused_at_once_in_memory") {
        return;
    }
    let service = volatile(NEVER).await;
    let sku = service.get("/products/2").await.json()["variants"][0]["sku"].clone();
    let order = |delta: i32| json!({ "stock_delta": [{ "sku": sku, "delta": delta }] });
    patch(&service, 2, json!({ "stock": [{ "sku": sku, "stock": 5 }] })).await;
    assert_eq!(patch(&service, 2, order(-3)).await.status, StatusCode::ACCEPTED);
    let refused = patch(&service, 2, order(-3)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["field"], "stock_delta");
    assert_eq!(patch(&service, 999_999, order(-3)).await.status, StatusCode::NOT_FOUND);
    // A patch of both does not wait.
    let mut both = order(-2);
    both["price"] = json!({ "minor": 55, "currency": "EUR" });
    let written = patch(&service, 2, both).await;
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    let page = service.get("/products/2").await;
    assert_eq!((page.header("etag"), minor(&page)), (written.header("etag"), 55));
    let variants = page.json()["variants"].clone();
    let it = variants.as_array().expect("variants").iter().find(|v| v["sku"] == sku).cloned();
    assert_eq!(it.expect("it is there")["stock"], 0);
}

#[tokio::test]
async fn a_stop_in_good_order_applies_what_waits() {
    if skip_without_servers("a_stop_in_good_order_applies_what_waits") {
        return;
    }
    let mut service = volatile(NEVER).await;
    for id in 1..=20 {
        reprice(&service, id, 1_000 + id).await;
    }
    service.process.terminate().await;
    let next = service.another().await;
    for id in 1..=20 {
        assert_eq!(minor(&next.get(&format!("/products/{id}")).await), 1_000 + id);
    }
}

#[tokio::test]
async fn while_postgres_is_gone_this_process_tells_what_it_holds_itself() {
    if skip_without_servers("while_postgres_is_gone_this_process_tells_what_it_holds_itself") {
        return;
    }
    let service = volatile(NEVER).await;
    for id in 1..=5 {
        reprice(&service, id, 1_000 + id).await;
    }
    let left = |answer: &Answer| answer.json()["left"][0].clone();
    assert_eq!(left(&service.get("/admin/journal").await)["depth"], 0);
    service.database.shut().await;
    let answer = service.get("/admin/journal").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json()["depth"], 5);
    assert_eq!(left(&answer), json!({ "mode": "journaled", "error": "unavailable" }));
    let answer = service.get("/admin/dead-letters").await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.json(), json!({ "dead_letters": [], "unavailable": ["journaled"] }));
    service.database.open().await;
    eventually(Duration::from_secs(20), "it tells of both again", async || {
        left(&service.get("/admin/journal").await)["depth"] == 0
    })
    .await;
}

#[tokio::test]
async fn many_writes_cost_few_statements_and_none_is_lost_or_done_twice_when_postgres_hangs_up() {
    if skip_without_servers("many_writes_cost_few_statements_and_none_is_lost_or_done_twice") {
        return;
    }
    let service = volatile("200").await;
    let sku = service.get("/products/3").await.json()["variants"][0]["sku"].clone();
    patch(&service, 3, json!({ "stock": [{ "sku": sku, "stock": 100_000 }] })).await;
    let order = || json!({ "stock_delta": [{ "sku": sku, "delta": -1 }] });
    let sell = async |times: usize| {
        let orders = (0..times).map(|_| patch(&service, 3, order()));
        let answers = stream::iter(orders).buffer_unordered(256);
        let taken = answers.filter(|answer| ready(answer.status == StatusCode::ACCEPTED));
        taken.count().await
    };
    let drained = async || {
        eventually(Duration::from_secs(20), "all is applied", async || {
            service.get("/admin/journal").await.json()["depth"] == 0
        })
        .await;
    };
    drained().await;
    let [before, ..] = service.statements().await;
    assert_eq!(sell(1_000).await, 1_000);
    drained().await;
    let [after, ..] = service.statements().await;
    println!("{} statements for 1,000 writes in 256 at a time", after - before);
    // How many share a check depends on how fast this client is: the benchmark has the figure.
    assert!(after - before <= 250, "{} statements for 1,000 writes", after - before);

    // Every connection is cut, again and again, while more is sold and flushed.
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let mut sold = 1_000;
    for _ in 0..20 {
        let (taken, ()) = tokio::join!(sell(200), service.database.execute(cut));
        sold += taken;
        tokio::time::sleep(Duration::from_millis(30)).await;
        service.database.execute(cut).await;
    }
    drained().await;
    let other = service.another().await;
    let page = other.get("/products/3").await.json();
    let variants = page["variants"].as_array().expect("variants").clone();
    let it = variants.into_iter().find(|v| v["sku"] == sku).expect("it is there");
    println!("{sold} orders acknowledged while connections were cut 40 times");
    assert_eq!(it["stock"].as_i64(), Some(100_000 - sold as i64), "of {sold} orders");
    assert_eq!(service.get("/admin/dead-letters").await.json()["dead_letters"], json!([]));
}
