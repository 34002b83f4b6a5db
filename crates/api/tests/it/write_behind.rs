//! `write-behind`: what waits and what does not, what is answered, and what an operator sees.

use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::support::{Answer, Process, Service, eventually, service};

const BEHIND: [(&str, &str); 4] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "write-behind"),
    ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l2"),
];
/// For tests that want to see a write before it is flushed.
const LATE: (&str, &str) = ("WRITE_BEHIND__FLUSH_AFTER_MS", "3600000");
pub(crate) const SOON: (&str, &str) = ("WRITE_BEHIND__FLUSH_AFTER_MS", "50");

pub(crate) async fn behind(more: &[(&str, &str)]) -> Service {
    let settings: Vec<_> = BEHIND.iter().chain(more).copied().collect();
    let service = service(&settings).await;
    service.connected().await;
    service
}

pub(crate) fn price(minor: i64) -> Value {
    json!({ "price": { "minor": minor, "currency": "EUR" } })
}

pub(crate) async fn patch(process: &Process, id: i64, body: &Value) -> Answer {
    process.json(Method::PATCH, &format!("/products/{id}"), body).await
}

pub(crate) fn position(answer: &Answer) -> u64 {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    let position = answer.header("larder-position").parse().expect("a position");
    assert_eq!(answer.json()["position"], position);
    position
}

pub(crate) async fn state(process: &Process, position: u64) -> String {
    let found = process.get(&format!("/writes/{position}")).await;
    assert_eq!(found.status, StatusCode::OK, "{found:?}");
    found.json()["state"].as_str().expect("a state").to_owned()
}

pub(crate) async fn page(process: &Process, id: i64) -> (String, Value) {
    let page = process.get(&format!("/products/{id}")).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    (page.header("etag").to_owned(), page.json())
}

/// Fails unless the row has this price.
pub(crate) async fn in_the_table(service: &Service, id: i64, minor: i64) -> bool {
    let check = format!(
        "DO $$ BEGIN
           ASSERT (SELECT price_minor FROM products WHERE id = {id}) = {minor};
         END $$"
    );
    service.database.try_execute(&check).await.is_ok()
}

async fn conditional(process: &Process, method: Method, id: i64, tag: &str, body: &str) -> Answer {
    let headers = [("content-type", "application/json"), ("if-match", tag)];
    process.send(method, &format!("/products/{id}"), &headers, body.to_owned()).await
}

#[tokio::test]
async fn a_write_that_waits_is_seen_at_once_everywhere_and_flushed_later() {
    if skip_without_servers("a_write_that_waits_is_seen_at_once_everywhere") {
        return;
    }
    let mut service = behind(&[LATE]).await;
    let other = service.another().await;
    let (before, _) = page(&other, 1).await;
    let mut last = 0;
    for minor in [101, 102, 103] {
        let answer = patch(&service, 1, &price(minor)).await;
        last = position(&answer);
        // Read your own writes, and the other process within the bound of the backplane.
        let (etag, seen) = page(&service, 1).await;
        assert_eq!(
            (etag.as_str(), &seen["price"]["minor"]),
            (answer.header("etag"), &json!(minor))
        );
        let tag = answer.header("larder-version").to_owned();
        let headers = [("larder-min-version", tag.as_str())];
        let seen = other.send(Method::GET, "/products/1", &headers, "").await;
        assert_eq!(seen.json()["price"]["minor"], minor);
        assert_eq!(seen.header("etag"), answer.header("etag"));
        let summary = other.send(Method::GET, "/products/1/summary", &headers, "").await;
        assert_eq!(summary.json()["price"]["minor"], minor);
        assert!(!in_the_table(&service, 1, minor).await, "the table has it already");
    }
    let (after, _) = page(&other, 1).await;
    assert_ne!(before, after);
    assert_eq!(state(&other, last).await, "pending");
    let journal = other.get("/admin/journal").await.json();
    assert_eq!((&journal["mode"], &journal["depth"]), (&json!("journaled"), &json!(3)));

    // A drain on the way out applies it; nothing that readers see changes by it.
    service.process.terminate().await;
    assert!(in_the_table(&service, 1, 103).await, "{}", service.log());
    assert_eq!(state(&other, last).await, "flushed");
    assert_eq!(page(&other, 1).await.0, after);
    for unknown in ["/writes/999999", "/admin/dead-letters/999999"] {
        assert_eq!(other.get(unknown).await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
    let wrong = other.get("/writes/first").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.json()["errors"][0]["field"], "position");
}

#[tokio::test]
async fn what_cannot_wait_is_durable_in_the_tables_after_what_waits() {
    if skip_without_servers("what_cannot_wait_is_durable_in_the_tables_after_what_waits") {
        return;
    }
    let service = behind(&[LATE]).await;
    let (_, content) = page(&service, 1).await;
    let sku = content["variants"][0]["sku"].clone();
    position(&patch(&service, 1, &json!({ "stock": [{ "sku": sku, "stock": 5 }] })).await);
    let order = |delta: i64| json!({ "stock_delta": [{ "sku": sku, "delta": delta }] });
    position(&patch(&service, 1, &order(-3)).await);
    // Of five pieces three are sold, though no row of the tables says so.
    let refused = patch(&service, 1, &order(-3)).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
    assert_eq!(refused.json()["errors"][0]["field"], "stock_delta");
    assert_eq!(service.get("/admin/journal").await.json()["depth"], 2);

    // Price and stock at once cannot wait: after it nothing does.
    let both = json!({ "price": { "minor": 321, "currency": "EUR" },
                       "stock_delta": [{ "sku": sku, "delta": -1 }] });
    let written = patch(&service, 1, &both).await;
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    assert!(in_the_table(&service, 1, 321).await);
    assert_eq!(service.get("/admin/journal").await.json()["depth"], 0);
    assert_eq!(page(&service, 1).await.1["variants"][0]["stock"], 1);

    position(&patch(&service, 1, &price(5)).await);
    let review =
        json!({ "author": "A reader", "rating": 4, "title": "Good", "body": "Well made." });
    let added = service.json(Method::POST, "/products/1/reviews", &review).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    assert!(in_the_table(&service, 1, 5).await);
    position(&patch(&service, 2, &price(7)).await);
    let gone = service.send(Method::DELETE, "/products/2", &[], "").await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(patch(&service, 2, &price(8)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(service.get("/admin/journal").await.json()["dead_letters"], 0);
}

#[tokio::test]
async fn a_conditional_write_is_made_at_once_or_answered_412() {
    if skip_without_servers("a_conditional_write_is_made_at_once_or_answered_412") {
        return;
    }
    let service = behind(&[LATE]).await;
    let (old, _) = page(&service, 1).await;
    let pending = patch(&service, 1, &price(11)).await;
    position(&pending);
    // The write that waits has moved the version on.
    for method in [Method::PATCH, Method::DELETE] {
        let body = price(12).to_string();
        let refused = conditional(&service, method, 1, &old, &body).await;
        assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{refused:?}");
    }
    assert_eq!(page(&service, 1).await.1["price"]["minor"], 11);
    let list = format!("{old}, W/\"1-1\", {}", pending.header("etag"));
    let written = conditional(&service, Method::PATCH, 1, &list, &price(13).to_string()).await;
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    assert!(in_the_table(&service, 1, 13).await, "a conditional write does not wait");
    let (etag, seen) = page(&service, 1).await;
    assert_eq!((etag.as_str(), &seen["price"]["minor"]), (written.header("etag"), &json!(13)));

    // Direct SQL moves it, too.
    service.database.execute("UPDATE products SET price_minor = 14 WHERE id = 1").await;
    let refused = conditional(&service, Method::PATCH, 1, &etag, &price(15).to_string()).await;
    assert_eq!(refused.status, StatusCode::PRECONDITION_FAILED, "{refused:?}");
    assert!(in_the_table(&service, 1, 14).await);
    let any = conditional(&service, Method::PATCH, 1, "*", &price(16).to_string()).await;
    assert_eq!(any.status, StatusCode::OK, "{any:?}");
    let absent = conditional(&service, Method::PATCH, 99_999, "*", &price(16).to_string()).await;
    assert_eq!(absent.status, StatusCode::NOT_FOUND);
    let malformed = conditional(&service, Method::PATCH, 1, "1-7", &price(16).to_string()).await;
    assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    assert_eq!(malformed.json()["errors"][0]["field"], "If-Match");
}

#[tokio::test]
async fn a_full_journal_refuses_writes_or_makes_them_at_once_and_loses_none() {
    if skip_without_servers("a_full_journal_refuses_writes_or_makes_them_at_once") {
        return;
    }
    let service = behind(&[LATE, ("WRITE_BEHIND__MAX_DEPTH", "3")]).await;
    let synchronous = service.another_with(&[("WRITE_BEHIND__WHEN_FULL", "synchronous")]).await;
    let mut last = 0;
    for minor in [11, 12, 13] {
        last = position(&patch(&service, 1, &price(minor)).await);
    }
    let refused = patch(&service, 1, &price(14)).await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS, "{refused:?}");
    assert!(refused.header("retry-after").parse::<u32>().expect("seconds") > 0);
    assert_eq!(page(&service, 1).await.1["price"]["minor"], 13, "nothing refused is seen");
    // The other process learns of it within a second.
    let began = Instant::now();
    let mut minor = 100;
    let written = loop {
        minor += 1;
        let written = patch(&synchronous, 2, &price(minor)).await;
        if written.status != StatusCode::ACCEPTED || began.elapsed() > Duration::from_secs(10) {
            break written;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    assert!(in_the_table(&service, 2, minor).await);
    assert_eq!(state(&service, last).await, "pending");
    assert_eq!(page(&service, 2).await.1["price"]["minor"], minor);
    assert_eq!(page(&service, 1).await.1["price"]["minor"], 13);
}

#[tokio::test]
async fn what_a_killed_process_has_acknowledged_another_one_applies() {
    if skip_without_servers("what_a_killed_process_has_acknowledged_another_one_applies") {
        return;
    }
    let service = behind(&[("WRITE_BEHIND__FLUSH_AFTER_MS", "1500")]).await;
    let other = service.another().await;
    let written = position(&patch(&service, 1, &price(77)).await);
    service.kill_hard();
    assert_eq!(state(&other, written).await, "pending");
    eventually(Duration::from_secs(20), "the other one applies it", async || {
        state(&other, written).await == "flushed"
    })
    .await;
    assert!(in_the_table(&service, 1, 77).await);
}

#[tokio::test]
async fn a_switch_to_another_strategy_leaves_nothing_behind_and_asks_the_journal_no_more() {
    if skip_without_servers("a_switch_to_another_strategy_leaves_nothing_behind") {
        return;
    }
    let service = behind(&[("WRITE_BEHIND__FLUSH_AFTER_MS", "800")]).await;
    let written = position(&patch(&service, 1, &price(88)).await);
    for namespace in ["product-page", "product-summary"] {
        let switch =
            json!({ "namespace": namespace, "strategy": "read-through", "tiers": "l1+l2" });
        let switched = service.json(Method::PUT, "/admin/strategy", &switch).await;
        assert_eq!(switched.status, StatusCode::OK, "{switched:?}");
    }
    // It waits still, and is seen all the same.
    assert_eq!(state(&service, written).await, "pending");
    assert_eq!(page(&service, 1).await.1["price"]["minor"], 88);
    eventually(Duration::from_secs(20), "it is flushed", async || {
        state(&service, written).await == "flushed"
    })
    .await;
    assert_eq!(patch(&service, 1, &price(89)).await.status, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = service.statements().await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(service.statements().await, before, "an idle process asks the database");
}

#[tokio::test]
async fn what_an_earlier_mode_has_left_is_shown_and_applied_in_any_other() {
    if skip_without_servers("what_an_earlier_mode_has_left_is_shown_and_applied") {
        return;
    }
    let service = behind(&[LATE]).await;
    let written = patch(&service, 1, &price(321)).await;
    let left = position(&written);
    assert_eq!(written.header("larder-mode"), "journaled");
    let other = service.another_with(&[("WRITE_BEHIND__MODE", "volatile"), SOON]).await;
    assert_eq!(page(&other, 1).await.1["price"]["minor"], 321);
    eventually(Duration::from_secs(20), "it is applied", async || {
        state(&service, left).await == "flushed"
    })
    .await;
    assert!(in_the_table(&service, 1, 321).await);
}

#[tokio::test]
async fn who_asks_the_journal_while_postgres_is_gone_is_told_so() {
    if skip_without_servers("who_asks_the_journal_while_postgres_is_gone_is_told_so") {
        return;
    }
    let service = behind(&[SOON]).await;
    service.database.shut().await;
    for path in ["/writes/1", "/admin/journal", "/admin/dead-letters", "/admin/dead-letters/1"] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        assert_eq!(answer.json()["detail"], "the journal is unavailable", "{path}");
        assert_eq!(answer.header("retry-after"), "1", "{path}");
    }
    assert!(service.log().contains("the journal cannot be asked"), "{}", service.log());
    service.database.open().await;
    eventually(Duration::from_secs(20), "it answers again", async || {
        service.get("/admin/journal").await.status == StatusCode::OK
    })
    .await;
}
