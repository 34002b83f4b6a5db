//! Writes that may wait: their answers, and what an operator sees of them.

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::json;

use crate::support::service;

#[tokio::test]
async fn the_answer_names_the_journal_that_holds_the_write_and_readers_see_it() {
    if skip_without_servers("the_answer_names_the_journal_that_holds_the_write") {
        return;
    }
    let service = service(&[
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("WRITE_BEHIND__FLUSH_AFTER_MS", "600000"),
    ])
    .await;
    service.connected().await;
    let patch = json!({ "price": { "minor": 321, "currency": "EUR" } });
    let written = service.json(Method::PATCH, "/products/1", &patch).await;
    assert_eq!(written.status, StatusCode::ACCEPTED, "{written:?}");
    assert_eq!(
        (written.header("larder-mode"), &written.json()["mode"]),
        ("journaled", &json!("journaled"))
    );
    let read = service.get("/products/1").await;
    assert_eq!(
        (read.header("etag"), &read.json()["price"]["minor"]),
        (written.header("etag"), &json!(321))
    );
    let position = written.header("larder-position").to_owned();
    let found = service.get(&format!("/writes/{position}")).await;
    assert_eq!(found.json()["state"], "pending");
    assert_eq!(service.get("/admin/journal").await.json()["mode"], "journaled");
    for path in ["/writes/999999999", "/admin/dead-letters/1"] {
        assert_eq!(service.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let wrong = service.get("/writes/first").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.json()["errors"][0]["field"], "position");

    // What an earlier mode has left is shown, and applied in any other.
    let volatile = [("WRITE_BEHIND__MODE", "volatile"), ("WRITE_BEHIND__FLUSH_AFTER_MS", "50")];
    let other = service.another_with(&volatile).await;
    assert_eq!(other.get("/products/1").await.json()["price"]["minor"], 321);
    crate::support::eventually(std::time::Duration::from_secs(10), "it is applied", async || {
        service.get(&format!("/writes/{position}")).await.json()["state"] == "flushed"
    })
    .await;
}
