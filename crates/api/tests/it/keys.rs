//! Who writes or administers shows a key; what is refused changes nothing and tells nothing.

use std::time::Duration;

use futures_util::future::join_all;
use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;
use serde_json::{Value, json};

use crate::gate::Gate;
use crate::support::{Answer, KEY, Process, eventually, service};
use crate::telemetry::sum;

const SOON: Duration = Duration::from_secs(20);
/// A key that is right in its form alone.
const UNKNOWN: &str =
    "lk_0123456789abcdef_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A key that was made, and its id.
pub(crate) struct Key {
    id: String,
    pub(crate) text: String,
}

pub(crate) async fn key(process: &Process, scopes: &[&str]) -> Key {
    let body = json!({ "scopes": scopes, "note": "of a test" });
    let made = process.json(Method::POST, "/admin/keys", &body).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.header("cache-control"), "no-store");
    let made = made.json();
    let part = |name: &str| made[name].as_str().expect("text").to_owned();
    Key { id: part("id"), text: part("key") }
}

/// A request that shows `key`; none, where that is empty.
pub(crate) async fn ask(
    process: &Process,
    method: Method,
    path: &str,
    body: &str,
    key: &str,
) -> Answer {
    let shown = if key.is_empty() { String::new() } else { format!("Bearer {key}") };
    let headers = [("content-type", "application/json"), ("authorization", shown.as_str())];
    process.send(method, path, &headers, body.to_owned()).await
}

pub(crate) async fn patch(process: &Process, key: &str) -> Answer {
    let body = r#"{ "price": { "minor": 777, "currency": "EUR" } }"#;
    ask(process, Method::PATCH, "/products/1", body, key).await
}

async fn revoke(process: &Process, id: &str) {
    let revoked = process.send(Method::DELETE, &format!("/admin/keys/{id}"), &[], "").await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT, "{revoked:?}");
}

/// All that a request could change.
const STATE: &str = "
    SELECT (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM products t) AS products,
           (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM variants t) AS variants,
           (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM reviews t) AS reviews,
           (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM api_keys t) AS keys,
           (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM larder.versions t) AS versions,
           (SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM larder.epochs t) AS epochs,
           (SELECT count(*) FROM larder.strategies) AS strategies,
           (SELECT count(*) FROM larder.journal) AS journal";

const CHANGES: [(&str, &str, &str); 12] = [
    (
        "POST",
        "/products",
        r#"{"sku": "K", "name": "K", "category": "kitchen", "price": {"minor": 1, "currency": "EUR"}}"#,
    ),
    (
        "PUT",
        "/products/1",
        r#"{"name": "K", "category": "kitchen", "price": {"minor": 1, "currency": "EUR"}}"#,
    ),
    ("PATCH", "/products/1", r#"{"price": {"minor": 1, "currency": "EUR"}}"#),
    ("DELETE", "/products/1", ""),
    ("POST", "/products/1/reviews", r#"{"rating": 1, "title": "K", "author": "K"}"#),
    ("POST", "/nowhere", ""),
    (
        "PUT",
        "/admin/strategy",
        r#"{"namespace": "product-page", "strategy": "none", "tiers": "none"}"#,
    ),
    ("DELETE", "/admin/strategy/product-page", ""),
    ("POST", "/admin/keys", r#"{"scopes": ["admin"]}"#),
    ("DELETE", "/admin/keys/0123456789abcdef", ""),
    ("POST", "/admin/dead-letters/1/replay", ""),
    ("DELETE", "/admin/dead-letters/1", ""),
];

#[tokio::test]
async fn without_a_key_that_is_right_nothing_is_changed_and_nothing_told() {
    if skip_without_servers("without_a_key_that_is_right_nothing_is_changed") {
        return;
    }
    let settings = [("TELEMETRY__LOG_FILTER", "debug"), ("TELEMETRY__LOG_FORMAT", "json")];
    let service = service(&settings).await;
    let (good, revoked) =
        (key(&service, &["admin"]).await, key(&service, &["admin", "write"]).await);
    assert_eq!(patch(&service, &revoked.text).await.status, StatusCode::OK);
    revoke(&service, &revoked.id).await;
    service.database.execute(&format!("CREATE TABLE before AS {STATE}")).await;

    let last = if good.text.ends_with('0') { '1' } else { '0' };
    let wrong = format!("{}{last}", &good.text[..good.text.len() - 1]);
    let beginning = &KEY[..KEY.len() - 1];
    let shown = ["", "x", "lk_", UNKNOWN, &wrong, &revoked.text, beginning];
    let reads = ["config", "cache", "queries", "journal", "strategy", "keys", "nothing"];
    let reads = reads.map(|name| format!("/admin/{name}"));
    let reads = reads.iter().map(|path| ("GET", path.as_str(), ""));
    let mut refusals = 0;
    for (method, path, body) in CHANGES.into_iter().chain(reads) {
        for key in shown {
            refusals += 1;
            let method = method.parse().expect("a method");
            let refused = ask(&service, method, path, body, key).await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path} {key}: {refused:?}");
            assert_eq!(refused.header("content-type"), "application/problem+json");
            let challenge = refused.header("www-authenticate");
            let expected = if key.is_empty() { "Bearer realm" } else { "error=\"invalid_token\"" };
            assert!(challenge.contains(expected), "{key}: {challenge}");
            assert!(key.is_empty() || !String::from_utf8_lossy(&refused.body).contains(key));
        }
    }
    for other in ["Basic bGFyZGVy", "Bearer", "lk_"] {
        let headers = [("authorization", other)];
        let refused = service.send(Method::GET, "/admin/config", &headers, "").await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{other}");
    }
    let same = format!("SELECT 1 / count(*) FROM before NATURAL JOIN ({STATE}) AS now");
    service.database.execute(&same).await;
    // What is to be seen of it anywhere is no key.
    let admin = service.get("/admin/keys").await;
    let config = service.get("/admin/config").await;
    let metrics = service.get("/metrics").await;
    let counted = sum(
        &String::from_utf8_lossy(&metrics.body),
        "http_server_request_duration_seconds_count",
        &["http_response_status_code=\"401\""],
    );
    assert_eq!(counted, f64::from(refusals + 3), "what is refused is counted");
    let said = [&admin.body, &config.body, &metrics.body].map(|it| String::from_utf8_lossy(it));
    let said = [said.concat(), service.log()].concat();
    for key in [&good.text, &revoked.text, &wrong, UNKNOWN, KEY] {
        let secret = key.rsplit('_').next().expect("it has an end");
        assert!(!said.contains(secret), "{key} in {said}");
        let stored = format!(
            "SELECT 1 / (count(*) = 0)::integer FROM api_keys k WHERE k::text LIKE '%{secret}%'"
        );
        service.database.execute(&stored).await;
    }
    assert!(said.contains(&good.id), "{said}");
}

#[tokio::test]
async fn reads_of_the_catalogue_need_no_key() {
    if skip_without_servers("reads_of_the_catalogue_need_no_key") {
        return;
    }
    let service = service(&[]).await;
    let paths = [
        "/products/1",
        "/products/1/summary",
        "/categories/kitchen/products",
        "/healthz",
        "/readyz",
        "/metrics",
    ];
    for path in paths {
        for key in ["", "x", UNKNOWN] {
            let answer = ask(&service, Method::GET, path, "", key).await;
            assert_eq!(answer.status, StatusCode::OK, "{path} {key}: {answer:?}");
        }
    }
    assert_eq!(ask(&service, Method::GET, "/writes/1", "", "").await.status, StatusCode::NOT_FOUND);
    let head = ask(&service, Method::HEAD, "/products/1", "", "").await;
    assert_eq!(head.status, StatusCode::OK);
}

#[tokio::test]
async fn a_key_allows_what_its_scopes_say() {
    if skip_without_servers("a_key_allows_what_its_scopes_say") {
        return;
    }
    let service = service(&[]).await;
    let strategy = r#"{"namespace": "product-page", "strategy": "ttl", "tiers": "l2"}"#;
    let new = r#"{"scopes": ["read"], "note": "another"}"#;
    let (ok, no) = (StatusCode::OK, StatusCode::FORBIDDEN);
    for (scopes, looks, writes, administers) in [
        (&["read"][..], ok, no, no),
        (&["write"], ok, ok, no),
        (&["write", "read"], ok, ok, no),
        (&["admin"], ok, ok, ok),
    ] {
        let key = key(&service, scopes).await.text;
        let looked = ask(&service, Method::GET, "/admin/cache", "", &key).await;
        assert_eq!(looked.status, looks, "{scopes:?}");
        let written = patch(&service, &key).await;
        assert_eq!(written.status, writes, "{scopes:?}: {written:?}");
        if writes == no {
            let challenge = written.header("www-authenticate");
            assert!(challenge.contains("insufficient_scope"), "{challenge}");
            assert!(challenge.contains("scope=\"write\""), "{challenge}");
            assert_eq!(written.header("content-type"), "application/problem+json");
        }
        let switched = ask(&service, Method::PUT, "/admin/strategy", strategy, &key).await;
        assert_eq!(switched.status, administers, "{scopes:?}: {switched:?}");
        let made = ask(&service, Method::POST, "/admin/keys", new, &key).await;
        let expected = if administers == ok { StatusCode::CREATED } else { no };
        assert_eq!(made.status, expected, "{scopes:?}: {made:?}");
    }
    let listed = service.get("/admin/keys").await.json();
    let keys = listed["keys"].as_array().expect("keys");
    assert_eq!(keys.len(), 5, "{listed}");
    assert_eq!((&keys[0]["note"], &keys[0]["scopes"]), (&json!("another"), &json!(["read"])));
    for (body, field) in [
        (json!({ "scopes": [] }), "scopes"),
        (json!({ "scopes": ["root"] }), "scopes"),
        (json!({ "scopes": ["read"], "note": "x".repeat(201) }), "note"),
        (json!({ "scopes": ["read"], "note": "a\u{0}" }), "note"),
        (json!({ "scopes": ["read"], "note": "two\nlines" }), "note"),
        (json!({ "note": "x" }), "scopes"),
    ] {
        let refused = service.json(Method::POST, "/admin/keys", &body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:?}");
        assert_eq!(refused.json()["errors"][0]["field"], field, "{refused:?}");
    }
    for id in ["none", "%00", "0123456789abcde%00", "%0a"] {
        let unknown = service.send(Method::DELETE, &format!("/admin/keys/{id}"), &[], "").await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{id}: {unknown:?}");
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_all_processes_after_a_while_at_most() {
    if skip_without_servers("a_revoked_key_is_refused_by_all_processes") {
        return;
    }
    let service = service(&[("SERVER__KEY_MEMORY_MS", "1000")]).await;
    let other = service.another().await;
    let key = key(&service, &["write"]).await;
    for process in [&service.process, &other] {
        assert_eq!(patch(process, &key.text).await.status, StatusCode::OK);
    }
    revoke(&service, &key.id).await;
    assert_eq!(patch(&service, &key.text).await.status, StatusCode::UNAUTHORIZED);
    // It asks all the while: using a key does not keep it.
    eventually(SOON, "the other one refuses it, too", async || {
        patch(&other, &key.text).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
    let listed = service.get("/admin/keys").await.json();
    assert!(listed["keys"][0]["revoked_at"].is_string(), "{listed}");
}

/// Lookups of keys, as the process counts them.
async fn lookups(process: &Process) -> u64 {
    let shown = process.get("/admin/queries").await.json();
    let rows = shown["rows"].as_array().expect("rows").clone();
    let of = |row: &Value| row["collection"] == "api_keys" && row["operation"] == "SELECT";
    let found = rows.iter().filter(|row| of(row));
    found
        .inspect(|row| assert_eq!(row["purpose"], "admin"))
        .filter_map(|row| row["completed"].as_u64())
        .sum()
}

#[tokio::test]
async fn a_key_is_looked_up_once_in_a_while_and_counted_and_the_configured_one_never() {
    if skip_without_servers("a_key_is_looked_up_once_in_a_while_and_counted") {
        return;
    }
    let service = service(&[("SERVER__KEY_MEMORY_MS", "3600000")]).await;
    for _ in 0..5 {
        assert_eq!(patch(&service, KEY).await.status, StatusCode::OK);
    }
    assert_eq!(lookups(&service).await, 0);
    let key = key(&service, &["write"]).await.text;
    for answer in join_all((0..20).map(|_| patch(&service, &key))).await {
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert_eq!(lookups(&service).await, 1);
    // A wrong one is not remembered.
    for round in 1..=2 {
        assert_eq!(patch(&service, UNKNOWN).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(lookups(&service).await, 1 + round);
    }
    let [completed, _, unknown] = service.statements().await;
    assert_eq!(unknown, 0);
    assert_eq!(service.database.counted().await, completed);
}

#[tokio::test]
async fn wrong_keys_do_not_keep_the_service_from_its_work() {
    if skip_without_servers("wrong_keys_do_not_keep_the_service_from_its_work") {
        return;
    }
    let service = service(&[]).await;
    let known = key(&service, &["write"]).await.text;
    assert_eq!(patch(&service, &known).await.status, StatusCode::OK);
    let flood = async {
        let answers = join_all((0..300).map(|_| patch(&service, UNKNOWN))).await;
        let count = |status| answers.iter().filter(|answer| answer.status == status).count();
        let (refused, shed) =
            (count(StatusCode::UNAUTHORIZED), count(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(refused + shed, 300);
        assert!(refused > 0 && shed > 0, "{refused} refused, {shed} shed");
        let late = answers.iter().find(|it| it.status == StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(late.expect("there is one").header("retry-after"), "1");
    };
    let work = async {
        for _ in 0..20 {
            let open = ask(&service, Method::GET, "/products/2", "", "").await;
            assert_eq!(open.status, StatusCode::OK, "{open:?}");
            for key in [&known, KEY] {
                let written = patch(&service, key).await;
                assert_eq!(written.status, StatusCode::OK, "{written:?}");
            }
        }
    };
    tokio::join!(flood, work);
}

#[tokio::test]
async fn while_postgres_is_gone_no_writer_waits_for_another() {
    if skip_without_servers("while_postgres_is_gone_no_writer_waits_for_another") {
        return;
    }
    let service = service(&[]).await;
    let gate = Gate::before(&service.database.app_url).await;
    // Above this many at a time, one after the other would take a minute.
    let settings = [
        ("DATABASE__URL", &*gate.through(&service.database.app_url)),
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "3000"),
        ("SERVER__KEY_MEMORY_MS", "1000"),
        ("SERVER__REQUEST_DEADLINE_MS", "20000"),
    ];
    let process = service.another_with(&settings).await;
    let (mut known, mut new) = (Vec::new(), Vec::new());
    for _ in 0..20 {
        known.push(key(&service, &["write"]).await.text);
        new.push(key(&service, &["write"]).await.text);
    }
    for key in &known {
        assert_eq!(patch(&process, key).await.status, StatusCode::OK);
    }
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    gate.cut();
    // Every key is to be looked up: again, or for the first time.
    for keys in [&known, &new] {
        for answer in join_all(keys.iter().map(|key| patch(&process, key))).await {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
        }
    }
    gate.mend();
    eventually(SOON, "the keys are right again", async || {
        patch(&process, &known[0]).await.status == StatusCode::OK
            && patch(&process, &new[0]).await.status == StatusCode::OK
    })
    .await;
}
