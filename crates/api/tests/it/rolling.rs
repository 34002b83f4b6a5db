//! What is done to a service that must go on: slots move, replicas are replaced. No request fails.

use std::time::{Duration, Instant};

use larder_stack::testing::{self, skip_without_servers};
use larder_stack::{Topology, reshard};
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::deploy::Balancer;
use crate::support::{Process, eventually, service, service_on};
use crate::traffic::Traffic;

/// How often a long form of these tests repeats what they do.
const ROUNDS: &str = "LARDER_ROUNDS";

/// Both tiers, with entries that live on unless something ends them.
const BOTH_TIERS: [(&str, &str); 3] = [
    ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
    ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
    ("NAMESPACES__PRODUCT_PAGE__L1_TTL_MS", "3600000"),
];

fn rounds() -> u32 {
    std::env::var(ROUNDS).map_or(1, |rounds| rounds.parse().expect("LARDER_ROUNDS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_slots_move_under_load_and_no_request_fails() {
    if skip_without_servers("two_thousand_slots_move_under_load_and_no_request_fails") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByOne).await;
    let service = service_on(redis, &BOTH_TIERS).await;
    service.connected().await;
    let second = service.another().await;
    let urls = [service.url.as_str(), &second.url];
    let traffic = Traffic::on(&urls);
    traffic.more(300).await;
    for _ in 0..rounds() {
        let moved = reshard(&service.redis.nodes(), 2_000).await.expect("slots move");
        assert_eq!(moved.slots, 2_000);
        assert!(moved.keys > 0, "{moved:?}: nothing was in the slots");
        traffic.more(300).await;
    }
    let [reads, writes] = traffic.end(&urls).await;
    eprintln!("{reads} reads and {writes} writes while slots moved, none failed");
    // Whatever slots did, every statement was counted once.
    eventually(Duration::from_secs(20), "the counts agree", async || {
        let ([one, _, _], [other, _, _]) = (service.statements().await, of(&second).await);
        service.database.counted().await == one + other
    })
    .await;
    eventually(Duration::from_secs(20), "Redis is used", async || {
        let hit = service.get("/products/200").await.cache_status().starts_with("larder; hit");
        hit && second.get("/readyz").await.json()["redis"] == "up"
    })
    .await;
}

/// Statements that a process has counted.
async fn of(process: &Process) -> [u64; 3] {
    let totals = process.get("/admin/queries").await.json()["totals"].clone();
    ["completed", "failed", "unknown"].map(|name| totals[name].as_u64().expect("a count"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_replicas_are_replaced_behind_a_balancer_and_no_request_fails() {
    let test = "both_replicas_are_replaced_behind_a_balancer_and_no_request_fails";
    if skip_without_servers(test) {
        return;
    }
    let settings: Vec<_> = BOTH_TIERS.into_iter().chain([("SERVER__DRAIN_MS", "4000")]).collect();
    let mut service = service(&settings).await;
    service.connected().await;
    let mut second = service.another().await;
    let urls = [service.url.clone(), second.url.clone()];
    let folder = tempfile::tempdir().expect("a folder");
    let balanced = [urls[0].as_str(), &urls[1]];
    let Some(balancer) = Balancer::start(folder.path(), balanced, test).await else { return };
    let traffic = Traffic::through(&balancer.url);
    traffic.more(300).await;
    for _ in 0..rounds() {
        for (turn, url) in urls.iter().enumerate() {
            let old = if turn == 0 { &mut service.process } else { &mut second };
            old.terminate().await;
            let bind = url.trim_start_matches("http://");
            let new = service.another_with(&[("SERVER__BIND", bind)]).await;
            *(if turn == 0 { &mut service.process } else { &mut second }) = new;
            // The balancer asks it again before the other one goes.
            let replaced = if turn == 0 { &service.process } else { &second };
            eventually(Duration::from_secs(60), "it is asked again", async || {
                let metrics = replaced.get("/metrics").await.body;
                String::from_utf8_lossy(&metrics).contains("http_route=\"/products/{id}\"")
            })
            .await;
            traffic.more(200).await;
        }
    }
    let [reads, writes] = traffic.end(&balanced).await;
    eprintln!("{reads} reads and {writes} writes while replicas were replaced, none failed");
}

#[tokio::test]
async fn it_says_that_it_is_not_ready_and_serves_on_before_it_ends() {
    if skip_without_servers("it_says_that_it_is_not_ready_and_serves_on_before_it_ends") {
        return;
    }
    let service = service(&[]).await;
    let mut leaving = service.another_with(&[("SERVER__DRAIN_MS", "3000")]).await;
    let address = leaving.url.trim_start_matches("http://").to_owned();
    // A client that keeps its connection.
    let mut kept = TcpStream::connect(&address).await.expect("connects");
    let first = exchange(&mut kept, HEALTH).await;
    assert!(first.starts_with("HTTP/1.1 200") && !closes(&first), "{first}");
    // One that is refused keeps its connection, too, for now.
    let mut refused = TcpStream::connect(&address).await.expect("connects");
    let first = exchange(&mut refused, KEYLESS).await;
    assert!(first.starts_with("HTTP/1.1 401") && !closes(&first), "{first}");
    assert_eq!(leaving.get("/readyz").await.status, 200);

    let told = Instant::now();
    leaving.signal(Signal::TERM);
    eventually(Duration::from_secs(10), "it is not ready", async || {
        leaving.try_get("/readyz").await.is_some_and(|answer| answer.status == 503)
    })
    .await;
    let answer = leaving.get("/readyz").await;
    assert_eq!((answer.status.as_u16(), answer.json()["status"].as_str()), (503, Some("closing")));
    assert_eq!(leaving.get("/healthz").await.status, 200, "it is alive all the same");
    // Served, and sent away.
    for (mut connection, request, status) in [(kept, HEALTH, "200"), (refused, KEYLESS, "401")] {
        let last = exchange(&mut connection, request).await;
        assert!(last.starts_with(&format!("HTTP/1.1 {status}")) && closes(&last), "{last}");
        let mut rest = String::new();
        connection.read_to_string(&mut rest).await.expect("it is closed");
        assert_eq!(rest, "");
    }
    // It ends by itself, not before its time.
    eventually(Duration::from_secs(30), "it does not listen any more", async || {
        TcpStream::connect(&address).await.is_err()
    })
    .await;
    assert!(told.elapsed() >= Duration::from_secs(3), "{:?}", told.elapsed());
    leaving.ended().await;
    assert!(!leaving.log().contains("panicked"), "{}", leaving.log());
}

#[tokio::test]
async fn a_second_signal_cuts_the_wait_short_and_a_request_under_way_is_answered() {
    if skip_without_servers("a_second_signal_cuts_the_wait_short") {
        return;
    }
    let service = service(&[]).await;
    let mut leaving = service.another_with(&[("SERVER__DRAIN_MS", "600000")]).await;
    let lock = service.database.lock("products").await;
    let page = format!("{}/products/1", leaving.url);
    let slow = tokio::spawn(async move { reqwest::get(page).await.map(|answer| answer.status()) });
    eventually(Duration::from_secs(10), "a load waits", async || {
        leaving.get("/admin/queries").await.json()["totals"]["in_flight"] == 1
    })
    .await;
    leaving.signal(Signal::TERM);
    eventually(Duration::from_secs(10), "it is not ready", async || {
        leaving.log().contains("closing")
    })
    .await;
    leaving.signal(Signal::TERM);
    lock.release().await;
    let answer = slow.await.expect("no panic").expect("it is answered");
    assert_eq!(answer, 200);
    leaving.ended().await;
}

fn closes(head: &str) -> bool {
    head.to_ascii_lowercase().contains("connection: close")
}

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nhost: larder\r\n\r\n";
/// What the guard, which is a middleware, refuses.
const KEYLESS: &str = "DELETE /products/1 HTTP/1.1\r\nhost: larder\r\n\r\n";

/// Sends `request` on a connection that is kept; the answer's head and body, a JSON object.
async fn exchange(connection: &mut TcpStream, request: &str) -> String {
    connection.write_all(request.as_bytes()).await.expect("it is sent");
    let mut text = String::new();
    let mut bytes = [0; 1024];
    while !text.contains("\r\n\r\n") || !text.ends_with('}') {
        let count = connection.read(&mut bytes).await.expect("an answer");
        assert!(count > 0, "closed in the middle of {text:?}");
        text.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    text
}
