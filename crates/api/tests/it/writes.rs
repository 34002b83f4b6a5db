//! Writes that may wait: their answers, and what an operator sees of them.

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::json;

use crate::support::service;

#[tokio::test]
async fn where_there_is_no_journal_a_write_is_durable_in_the_tables_and_nothing_is_listed() {
    if skip_without_servers("where_there_is_no_journal_a_write_is_durable_in_the_tables") {
        return;
    }
    let service = service(&[("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind")]).await;
    service.connected().await;
    let patch = json!({ "price": { "minor": 321, "currency": "EUR" } });
    let written = service.json(Method::PATCH, "/products/1", &patch).await;
    assert_eq!(written.status, StatusCode::OK, "{written:?}");
    let read = service.get("/products/1").await;
    assert_eq!(
        (read.header("etag"), &read.json()["price"]["minor"]),
        (written.header("etag"), &json!(321))
    );
    for path in ["/writes/1", "/admin/journal", "/admin/dead-letters", "/admin/dead-letters/1"] {
        assert_eq!(service.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let wrong = service.get("/writes/first").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.json()["errors"][0]["field"], "position");
}
