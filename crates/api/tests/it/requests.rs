//! What clients see: answers, headers, and problems that name the field.

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::support::{Service, service};

fn product(sku: &str) -> Value {
    json!({
        "sku": sku, "name": "A lamp", "description": "It shines.", "category": "kitchen",
        "price": { "minor": 1_999, "currency": "EUR" },
        "attributes": { "colour": "red" },
        "variants": [{ "sku": format!("{sku}-1"), "name": "small", "stock": 5 }],
        "related": [1, 2],
    })
}

async fn create(service: &Service, sku: &str) -> i64 {
    let created = service.json(Method::POST, "/products", &product(sku)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.json()["id"].as_i64().expect("an id");
    assert_eq!(created.header("location"), format!("/products/{id}"));
    id
}

#[tokio::test]
async fn a_product_is_created_read_changed_reviewed_and_deleted() {
    if skip_without_servers("a_product_is_created_read_changed_reviewed_and_deleted") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let id = create(&service, "LAMP-1").await;
    let page = format!("/products/{id}");

    let first = service.get(&page).await;
    assert_eq!(first.status, StatusCode::OK);
    assert!(first.cache_status().starts_with("larder; fwd=miss"), "{}", first.cache_status());
    let shown = first.json();
    assert_eq!(shown["price"], json!({ "minor": 1_999, "currency": "EUR" }));
    assert_eq!(shown["variants"][0]["stock"], 5);
    assert_eq!(shown["related"][1]["id"], 2);
    assert_eq!(
        shown["rating"],
        json!({ "count": 0, "average": 0.0, "histogram": [0, 0, 0, 0, 0] })
    );

    let again = service.get(&page).await;
    assert!(again.cache_status().starts_with("larder; hit; ttl=3"), "{}", again.cache_status());
    assert!(again.cache_status().ends_with("detail=l2"));
    assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")));
    assert_eq!(again.header("content-type"), "application/json");

    // The version is the entity tag: who has it is not sent the page again.
    let etag = again.header("etag").to_owned();
    let known = service.send(Method::GET, &page, &[("if-none-match", &etag)], "").await;
    assert_eq!((known.status, known.body.len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(known.header("etag"), etag);
    let head = service.send(Method::HEAD, &page, &[], "").await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
    assert_eq!(head.header("content-length"), first.body.len().to_string());

    // Each write is seen by the next read, with a new version.
    let patch = json!({
        "price": { "minor": 999, "currency": "EUR" },
        "stock_delta": [{ "sku": "LAMP-1-1", "delta": -2 }],
    });
    let patched = service.json(Method::PATCH, &page, &patch).await;
    assert_eq!(patched.status, StatusCode::OK, "{patched:?}");
    let read = service.get(&page).await;
    assert_eq!(read.cache_status(), "larder; fwd=miss; stored; detail=invalidated");
    assert_eq!(read.header("etag"), patched.header("etag"));
    assert_ne!(read.header("etag"), etag);
    assert_eq!(read.json()["price"]["minor"], 999);
    assert_eq!(read.json()["variants"][0]["stock"], 3);

    let review = json!({ "rating": 4, "title": "Bright", "body": "Very.", "author": "reader" });
    let reviews = format!("{page}/reviews");
    let added = service.json(Method::POST, &reviews, &review).await;
    assert_eq!(added.status, StatusCode::CREATED, "{added:?}");
    let read = service.get(&page).await.json();
    assert_eq!(read["rating"]["histogram"], json!([0, 0, 0, 1, 0]));
    assert_eq!(read["latest_reviews"][0]["title"], "Bright");

    let mut content = product("x");
    content.as_object_mut().expect("an object").remove("sku");
    content["name"] = "A better lamp".into();
    let replaced = service.json(Method::PUT, &page, &content).await;
    assert_eq!(replaced.status, StatusCode::OK, "{replaced:?}");
    assert_eq!(service.get(&page).await.json()["name"], "A better lamp");
    let summary = service.get(&format!("{page}/summary")).await;
    assert_eq!(summary.json()["name"], "A better lamp");

    let deleted = service.send(Method::DELETE, &page, &[], "").await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT);
    for path in [&page, &format!("{page}/summary")] {
        assert_eq!(service.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let twice = service.send(Method::DELETE, &page, &[], "").await;
    assert_eq!(twice.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_change_is_seen_on_pages_that_show_the_product_as_related() {
    if skip_without_servers("a_change_is_seen_on_pages_that_show_the_product_as_related") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let id = create(&service, "SHOWS-1-AND-2").await;
    let page = format!("/products/{id}");
    service.get(&page).await;
    assert!(service.get(&page).await.cache_status().contains("hit"));
    let patch = json!({ "price": { "minor": 77, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/1", &patch).await;
    assert_eq!(service.get(&page).await.json()["related"][0]["price"]["minor"], 77);
    assert!(service.get(&page).await.cache_status().contains("hit"));
    let review = json!({ "rating": 1, "title": "No", "body": "", "author": "reader" });
    let before = service.get(&page).await.json()["related"][0]["rating_count"].clone();
    service.json(Method::POST, "/products/1/reviews", &review).await;
    let after = service.get(&page).await.json()["related"][0]["rating_count"].clone();
    assert_eq!(after.as_u64(), before.as_u64().map(|count| count + 1));
}

#[tokio::test]
async fn a_category_is_listed_page_by_page() {
    if skip_without_servers("a_category_is_listed_page_by_page") {
        return;
    }
    let service = service(&[]).await;
    let slug = service.get("/products/1").await.json()["category_path"][2]["slug"].clone();
    let base = format!("/categories/{}/products", slug.as_str().expect("a slug"));
    let whole = service.get(&format!("{base}?limit=100")).await.json();
    let ids = |listing: &Value| -> Vec<i64> {
        let items = listing["products"].as_array().expect("products");
        items.iter().map(|item| item["id"].as_i64().expect("an id")).collect()
    };
    assert!(!ids(&whole).is_empty() && whole["next"].is_null(), "{whole}");
    // Category of one product: add some, so that there are several pages.
    for n in 0..5 {
        let mut new = product(&format!("LISTED-{n}"));
        new["category"] = slug.clone();
        service.json(Method::POST, "/products", &new).await;
    }
    let mut seen = Vec::new();
    let mut path = format!("{base}?limit=2");
    loop {
        let listing = service.get(&path).await.json();
        assert!(ids(&listing).len() <= 2);
        seen.extend(ids(&listing));
        let Some(cursor) = listing["next"].as_str() else { break };
        path = format!("{base}?limit=2&cursor={cursor}");
    }
    assert_eq!(seen.len(), ids(&whole).len() + 5);
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert_eq!(service.get("/categories/no-such/products").await.status, StatusCode::NOT_FOUND);
}

/// Method, path, content type, body; status, and the field that must be named.
type Case = (Method, &'static str, &'static str, String, u16, &'static str);

fn bad_requests() -> Vec<Case> {
    const JSON: &str = "application/json";
    let with = |pointer: &str, value: Value| {
        let mut body = product("BAD-1");
        *body.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        (Method::POST, "/products", JSON, body.to_string())
    };
    let get = |path: &'static str| (Method::GET, path, "", String::new());
    let send = |method, path, body: &str| (method, path, JSON, body.to_owned());
    let create = |body: &str| send(Method::POST, "/products", body);
    let patch = |body: &str| send(Method::PATCH, "/products/1", body);
    let review = |body: &str| send(Method::POST, "/products/1/reviews", body);
    let cases = [
        // Paths and queries.
        (get("/products/0"), 400, "id"),
        (get("/products/-1"), 400, "id"),
        (get("/products/abc"), 400, "id"),
        (get("/products/9223372036854775808"), 400, "id"),
        (get("/products/1%00"), 400, "id"),
        (get("/products/%ff%fe"), 400, ""),
        (get("/products/9223372036854775807"), 404, ""),
        (get("/products/1e3/summary"), 400, "id"),
        (get("/categories/Not%20A%20Slug/products"), 400, "slug"),
        (get("/categories/kitchen/products?limit=0"), 400, "limit"),
        (get("/categories/kitchen/products?limit=101"), 400, "limit"),
        (get("/categories/kitchen/products?limit=x"), 400, "limit"),
        (get("/categories/kitchen/products?cursor=%00"), 400, "cursor"),
        (get("/categories/kitchen/products?limit=1&limit=2"), 400, ""),
        (get("/nothing/here"), 404, ""),
        (send(Method::POST, "/products/1", "{}"), 405, ""),
        (send(Method::DELETE, "/metrics", ""), 405, ""),
        // Bodies that are no JSON, or not of the form.
        (create(""), 400, "body"),
        (create("{"), 400, ""),
        (create("[]"), 400, ""),
        (create("{} {}"), 400, ""),
        (create(r#"{"sku": 1}"#), 400, "sku"),
        (create("\u{0}"), 400, "body"),
        (create(&"[".repeat(10_000)), 400, ""),
        (patch(r#"{"price": {"minor": 1.5, "currency": "EUR"}}"#), 400, "price.minor"),
        (
            patch(r#"{"price": {"minor": 99999999999999999999, "currency": "EUR"}}"#),
            400,
            "price.minor",
        ),
        (patch(r#"{"price": {"minor": 1}}"#), 400, "price.currency"),
        (patch(r#"{"prise": 1}"#), 400, "prise"),
        (patch(r#"{}"#), 400, ""),
        // Values that are refused.
        (with("/sku", json!("")), 400, "sku"),
        (with("/sku", json!("a\u{0}b")), 400, "sku"),
        (with("/sku", json!("x".repeat(10_000))), 400, "sku"),
        (with("/name", json!("")), 400, "name"),
        (with("/name", json!("a\u{0}b")), 400, "name"),
        (with("/description", json!("\u{0}")), 400, "description"),
        (with("/category", json!("No Slug")), 400, "category"),
        (with("/category", json!("no-such-category")), 400, "category"),
        (with("/price/minor", json!(-1)), 400, "price.minor"),
        (with("/price/currency", json!("euro")), 400, "price.currency"),
        (with("/variants/0/stock", json!(-1)), 400, "variants[0].stock"),
        (with("/variants/0/stock", json!(3_000_000_000_i64)), 400, "variants[0].stock"),
        (with("/variants/0/sku", json!("\u{0}")), 400, "variants[0].sku"),
        (with("/attributes", json!({ "a\u{0}": "b" })), 400, "attributes"),
        (with("/related", json!([1, 1])), 400, "related[1]"),
        (with("/related", json!([0])), 400, "related[0]"),
        (with("/related", json!([999_999])), 400, "related"),
        (patch(r#"{"stock_delta": [{"sku": "NO-SUCH", "delta": 1}]}"#), 400, "stock_delta"),
        (patch(r#"{"stock": [{"sku": "", "stock": 1}]}"#), 400, "stock[0].sku"),
        (review(r#"{"rating": 6, "title": "t", "author": "a"}"#), 400, "rating"),
        (review(r#"{"rating": 0, "title": "t", "author": "a"}"#), 400, "rating"),
        (review(r#"{"rating": 5, "title": "", "author": "a"}"#), 400, "title"),
        (review(r#"{"rating": 5, "title": "t"}"#), 400, "author"),
        (
            send(
                Method::PATCH,
                "/products/999999",
                r#"{"price": {"minor": 1, "currency": "EUR"}}"#,
            ),
            404,
            "",
        ),
        (
            send(
                Method::POST,
                "/products/999999/reviews",
                r#"{"rating": 5, "title": "t", "author": "a"}"#,
            ),
            404,
            "",
        ),
        // The way they are sent.
        ((Method::POST, "/products", "", product("A").to_string()), 415, ""),
        ((Method::POST, "/products", "text/plain", product("A").to_string()), 415, ""),
        (create(&format!("{{\"sku\": \"{}\"}}", "x".repeat(70_000))), 413, ""),
        // Administration.
        (
            send(
                Method::PUT,
                "/admin/strategy",
                r#"{"namespace": "x", "strategy": "none", "tiers": "none"}"#,
            ),
            400,
            "namespace",
        ),
        (
            send(
                Method::PUT,
                "/admin/strategy",
                r#"{"namespace": "product-page", "strategy": "x", "tiers": "none"}"#,
            ),
            400,
            "strategy",
        ),
        (
            send(
                Method::PUT,
                "/admin/strategy",
                r#"{"namespace": "product-page", "strategy": "cache-aside", "tiers": "none"}"#,
            ),
            400,
            "tiers",
        ),
    ];
    cases
        .into_iter()
        .map(|((method, path, kind, body), status, field)| {
            (method, path, kind, body, status, field)
        })
        .collect()
}

#[tokio::test]
async fn bad_requests_are_problems_that_name_the_field() {
    if skip_without_servers("bad_requests_are_problems_that_name_the_field") {
        return;
    }
    let service = service(&[]).await;
    for (method, path, kind, body, status, field) in bad_requests() {
        let shown = &body[..body.len().min(120)];
        let case = format!("{method} {path} {shown}");
        let kind = [("content-type", kind)];
        let headers = if kind[0].1.is_empty() { &[][..] } else { &kind[..] };
        let answer = service.send(method, path, headers, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{case}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{case}");
        let problem = answer.json();
        assert_eq!(problem["status"], status, "{case}");
        assert!(problem["title"].is_string() && problem["type"].is_string(), "{case}: {problem}");
        if !field.is_empty() {
            let errors =
                problem["errors"].as_array().unwrap_or_else(|| panic!("{case}: {problem}"));
            let named = errors.iter().any(|error| {
                error["field"].as_str().is_some_and(|name| name.starts_with(field))
                    && error["message"].is_string()
            });
            assert!(named, "{case}: {problem}");
        }
    }
    // Several problems are told at once, and nothing was stored or broken by any of them.
    let mut wrong = product("");
    wrong["price"]["minor"] = json!(-1);
    let all = service.json(Method::POST, "/products", &wrong).await.json();
    assert_eq!(all["errors"].as_array().map(Vec::len), Some(2), "{all}");
    assert_eq!(service.get("/products/1").await.status, StatusCode::OK);
    assert!(!service.log().contains("panicked"), "{}", service.log());
}

#[tokio::test]
async fn what_is_there_already_is_a_conflict() {
    if skip_without_servers("what_is_there_already_is_a_conflict") {
        return;
    }
    let service = service(&[]).await;
    create(&service, "ONCE").await;
    let twice = service.json(Method::POST, "/products", &product("ONCE")).await;
    assert_eq!(twice.status, StatusCode::CONFLICT, "{twice:?}");
    assert_eq!(twice.json()["errors"][0]["field"], "sku");
    let below = json!({ "stock_delta": [{ "sku": "LD-0000001-1", "delta": -1_000_000 }] });
    let below = service.json(Method::PATCH, "/products/1", &below).await;
    assert!(below.status.is_client_error(), "{below:?}");
    assert_eq!(
        below.json()["errors"][0]["field"].as_str().map(|f| f.starts_with("stock_delta")),
        Some(true)
    );
}

#[tokio::test]
async fn strategies_are_switched_at_run_time() {
    if skip_without_servers("strategies_are_switched_at_run_time") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let switch = async |strategy: &str, tiers: &str| {
        let body = json!({ "namespace": "product-page", "strategy": strategy, "tiers": tiers });
        let answer = service.json(Method::PUT, "/admin/strategy", &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    };
    service.get("/products/7").await;
    assert!(service.get("/products/7").await.cache_status().contains("hit"));
    switch("none", "none").await;
    let uncached = service.get("/products/7").await;
    assert_eq!(uncached.cache_status(), "larder; fwd=bypass; detail=strategy-none");
    // A write under a strategy that does not invalidate …
    let patch = json!({ "price": { "minor": 4_321, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/7", &patch).await;
    // … must not bring an old entry back when the cache is used again.
    switch("cache-aside", "l2").await;
    let back = service.get("/products/7").await;
    assert_eq!(back.json()["price"]["minor"], 4_321, "{}", back.cache_status());
    // Under ttl a write is not seen until the entry expires.
    switch("ttl", "l2").await;
    service.get("/products/7").await;
    let patch = json!({ "price": { "minor": 1_234, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/7", &patch).await;
    assert_eq!(service.get("/products/7").await.json()["price"]["minor"], 4_321);
    let cache = service.get("/admin/cache").await.json();
    let page = cache["namespaces"].as_array().expect("namespaces").iter();
    let page = page.clone().find(|n| n["namespace"] == "product-page").expect("product-page");
    assert_eq!((page["strategy"].as_str(), page["tiers"].as_str()), (Some("ttl"), Some("l2")));
}
