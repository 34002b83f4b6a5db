//! Every statement of the service is counted once, and Postgres's own count agrees.

use std::sync::Arc;
use std::time::Duration;

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{Service, service};

/// So many visitors at the same time, until the last has gone.
pub(crate) async fn visits(service: &Arc<Service>, visitors: u64) {
    let visitors: Vec<_> = (0..visitors)
        .map(|number| {
            let service = Arc::clone(service);
            tokio::spawn(async move { visit(&service, number).await })
        })
        .collect();
    for visitor in visitors {
        visitor.await.expect("no answer breaks its visitor");
    }
}

/// One visitor's mixed requests: reads and writes, refused ones among them.
async fn visit(service: &Service, number: u64) {
    for step in 0..12 {
        let id = (number * 31 + step * 7) % 300 + 1;
        let page = format!("/products/{id}");
        let sku = format!("LD-{id:07}-1");
        match (number + step) % 8 {
            0 | 1 => drop(service.get(&page).await),
            2 => drop(service.get(&format!("{page}/summary")).await),
            3 => {
                let add = json!({ "stock_delta": [{ "sku": sku, "delta": 1 }] });
                drop(service.json(Method::PATCH, &page, &add).await);
            }
            4 => {
                // Breaks a check: stock below zero.
                let take = json!({ "stock_delta": [{ "sku": sku, "delta": -1_000_000 }] });
                let answer = service.json(Method::PATCH, &page, &take).await;
                assert!(answer.status.is_client_error(), "{answer:?}");
            }
            5 => {
                // Breaks a unique constraint from the second time on.
                let body = json!({
                    "sku": "TAKEN", "name": "n", "category": "kitchen",
                    "price": { "minor": 1, "currency": "EUR" },
                });
                drop(service.json(Method::POST, "/products", &body).await);
            }
            6 => {
                let review = json!({ "rating": 5, "title": "t", "body": "", "author": "a" });
                drop(service.json(Method::POST, &format!("{page}/reviews"), &review).await);
            }
            _ => drop(service.get("/categories/kitchen/products?limit=5").await),
        }
    }
}

#[tokio::test]
async fn a_mixed_workload_is_counted_as_postgres_counts_it() {
    if skip_without_servers("a_mixed_workload_is_counted_as_postgres_counts_it") {
        return;
    }
    let service = Arc::new(service(&[("DATABASE__STATEMENT_TIMEOUT_MS", "400")]).await);
    service.connected().await;
    visits(&service, 16).await;
    let [completed, failed, unknown] = service.statements().await;
    assert!(completed > 150 && failed >= 16, "{completed} {failed}");
    assert_eq!(unknown, 0);
    assert_eq!(service.database.counted().await, completed);

    // Statements that run into their timeout, reads and writes.
    let lock = service.database.lock("variants").await;
    let timed_out = service.get("/products/299").await;
    assert_eq!(timed_out.status, StatusCode::SERVICE_UNAVAILABLE, "{timed_out:?}");
    assert_eq!(timed_out.header("retry-after"), "1");
    let patch = json!({ "stock_delta": [{ "sku": "LD-0000001-1", "delta": 1 }] });
    let timed_out = service.json(Method::PATCH, "/products/1", &patch).await;
    assert_eq!(timed_out.status, StatusCode::SERVICE_UNAVAILABLE, "{timed_out:?}");
    lock.release().await;
    let [completed_after, failed_after, unknown] = service.statements().await;
    assert_eq!((failed_after, unknown), (failed + 2, 0));
    // The patch waited in its first statement, which locks the product with its variants.
    assert_eq!(completed_after, completed);
    assert_eq!(service.database.counted().await, completed_after);
    assert_eq!(service.get("/products/299").await.status, StatusCode::OK);
}

#[tokio::test]
async fn requests_that_clients_leave_keep_the_count_within_its_bounds() {
    if skip_without_servers("requests_that_clients_leave_keep_the_count_within_its_bounds") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let lock = service.database.lock("variants").await;
    let address = service.url.trim_start_matches("http://").to_owned();
    for id in 1..=6 {
        let mut stream = TcpStream::connect(&address).await.expect("connects");
        let request = format!("GET /products/{id} HTTP/1.1\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("sends");
        tokio::time::sleep(Duration::from_millis(50)).await;
        // Closed while Postgres works on the page.
        drop(stream);
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    lock.release().await;
    for id in 10..40 {
        assert_eq!(service.get(&format!("/products/{id}")).await.status, StatusCode::OK);
    }
    let [completed, _, unknown] = service.statements().await;
    let counted = service.database.counted().await;
    let bounds = completed..=completed + unknown;
    assert!(bounds.contains(&counted), "{counted} is not within {bounds:?}");
}
