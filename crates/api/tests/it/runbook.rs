//! The commands of docs/runbook.md, as they stand there, on real servers.
//!
//! A block under a comment `tried: <name>` is run by the shell of the reader: lines that begin with `$ `, and
//! the indented ones that go on with them. What else the block shows is output, which is for people.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use hyper::{Method, StatusCode};
use larder_stack::Topology;
use larder_stack::testing::{self, skip_without_servers};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{KEY, Process, Service, eventually, service, service_on};
use crate::telemetry::metric;

/// Read when the tests run: the image is built without it.
static RUNBOOK: LazyLock<String> = LazyLock::new(|| {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/runbook.md");
    std::fs::read_to_string(file).expect("the runbook is in the repository")
});
const SOON: Duration = Duration::from_secs(20);
/// Every block that is tried.
const TRIED: [&str; 14] = [
    "addresses",
    "bypass",
    "no more bypass",
    "clear",
    "drain",
    "relay",
    "reshard",
    "evicted",
    "policy",
    "memory",
    "dump",
    "restore",
    "restored",
    "format",
];

/// A reader of the runbook, in front of a stack.
struct Reader {
    folder: TempDir,
    environment: String,
}

impl Reader {
    /// In a folder with the `.stack/env` of `service`, whose processes listen on `api`.
    fn of(service: &Service, api: &[&Process]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let urls: Vec<&str> = api.iter().map(|process| &*process.url).collect();
        let lines = [
            ("API_URL", urls.join(",")),
            ("DATABASE_ADMIN_URL", service.database.admin_url.clone()),
            ("REDIS_NODES", service.redis.nodes().join(",")),
            ("ADMIN_KEY", format!("'{KEY}'")),
        ];
        let env: String = lines.map(|(name, value)| format!("{name}={value}\n")).concat();
        std::fs::create_dir(folder.path().join(".stack")).expect("makes it");
        std::fs::write(folder.path().join(".stack/env"), env).expect("writes it");
        Self { folder, environment: service.setting("CACHE__ENVIRONMENT").to_owned() }
    }

    /// What the commands of the block `name` print; they must succeed.
    async fn tries(&self, name: &str) -> String {
        let script = format!("{}{}", commands("addresses"), commands(name));
        let programs = Path::new(env!("CARGO_BIN_EXE_larder")).parent().expect("a folder");
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-euo", "pipefail", "-c", &script])
            .current_dir(self.folder.path())
            .env("PATH", format!("{}:{path}", programs.display()))
            .env("ENVIRONMENT", &self.environment)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(60), output).await;
        let output = output.expect("they end").expect("a shell");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}:\n{script}\n{said}\n{problem}");
        said
    }
}

/// The commands of the block `name`.
fn commands(name: &str) -> String {
    let mark = format!("<!-- tried: {name} -->\n");
    assert_eq!(RUNBOOK.matches(&*mark).count(), 1, "{name}");
    let (before, block) = RUNBOOK.split_once(&*mark).expect("it is there once");
    let indent = before.rsplit('\n').next().expect("a line").len();
    let lines = block.lines().map(|line| line.get(indent..).unwrap_or_default());
    let mut script = String::new();
    let mut goes_on = false;
    for line in lines.skip(1).take_while(|line| !line.starts_with("```")) {
        let command = line.strip_prefix("$ ");
        goes_on = command.is_some() || goes_on && line.starts_with("  ");
        if goes_on {
            script.push_str(command.unwrap_or(line));
            script.push('\n');
        }
    }
    assert!(!script.is_empty(), "{name} has commands");
    script
}

#[test]
fn every_block_that_says_so_is_tried() {
    let marks = RUNBOOK.lines().filter_map(|line| line.trim().strip_prefix("<!-- tried: "));
    let marked: BTreeSet<&str> = marks.filter_map(|rest| rest.strip_suffix(" -->")).collect();
    assert_eq!(marked, BTreeSet::from(TRIED));
}

async fn read(process: &Process, id: u64) -> String {
    let answer = process.get(&format!("/products/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.cache_status().to_owned()
}

async fn price(process: &Process, id: u64) -> i64 {
    let page = process.get(&format!("/products/{id}")).await.json();
    page["price"]["minor"].as_i64().expect("a price")
}

#[tokio::test]
async fn bypass_the_cache() {
    if skip_without_servers("bypass_the_cache") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let other = service.another().await;
    let reader = Reader::of(&service, &[&service, &other]);
    eventually(SOON, "it is cached", async || read(&service, 1).await.contains("; hit")).await;
    assert!(reader.tries("bypass").await.contains("fwd=bypass; detail=strategy-none"));
    for process in [&service.process, &other] {
        assert!(read(process, 1).await.contains("fwd=bypass"), "all processes");
    }
    let said = reader.tries("no more bypass").await;
    let statuses: Vec<&str> = said.lines().filter(|line| line.contains("cache-status")).collect();
    let [first, second] = statuses[..] else { panic!("{said}") };
    assert!(first.contains("fwd=miss") && second.contains("; hit"), "{said}");
    reader.tries("clear").await;
    eventually(SOON, "it is forgotten", async || !read(&service, 1).await.contains("; hit")).await;
}

#[tokio::test]
async fn drain_the_journal() {
    if skip_without_servers("drain_the_journal") {
        return;
    }
    let behind = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("WRITE_BEHIND__FLUSH_AFTER_MS", "1500"),
    ];
    let service = service(&behind).await;
    service.connected().await;
    for id in 1..=30 {
        let patch = json!({ "price": { "minor": 4_000 + id, "currency": "EUR" } });
        let answer = service.json(Method::PATCH, &format!("/products/{id}"), &patch).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    }
    let said = Reader::of(&service, &[&service]).tries("drain").await;
    assert_eq!(said.lines().last(), Some("0"), "{said}");
    let check = "DO $$ BEGIN ASSERT 30 = (SELECT count(*) FROM products
        WHERE id <= 30 AND price_minor = 4000 + id); END $$";
    service.database.execute(check).await;
}

#[tokio::test]
async fn the_relay_is_behind() {
    if skip_without_servers("the_relay_is_behind") {
        return;
    }
    let service = service(&[]).await;
    service.connected().await;
    let other = service.another().await;
    let reader = Reader::of(&service, &[&service, &other]);
    service.database.execute("UPDATE products SET price_minor = 777 WHERE id <= 50").await;
    eventually(SOON, "one relays, and has told all", async || {
        let said = reader.tries("relay").await;
        let (table, one) = said.split_once('{').expect("a table, then JSON");
        assert!(one.contains("\"backlog\""), "{said}");
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        // process, hears, relays, behind (a number and its unit), backlog, relayed, …
        let active: Vec<_> = rows.filter(|row| row.get(2) == Some(&"yes")).collect();
        active.len() == 1
            && active[0][5] == "0"
            && active[0][6].parse::<u64>().is_ok_and(|relayed| relayed >= 50)
    })
    .await;
}

#[tokio::test]
async fn migrate_slots() {
    if skip_without_servers("migrate_slots") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let service = service_on(redis, &[]).await;
    service.connected().await;
    let reader = Reader::of(&service, &[&service]);
    let moved = reader.tries("reshard");
    let mut moved = std::pin::pin!(moved);
    let mut reads = 0_u64;
    let said = loop {
        tokio::select! {
            said = &mut moved => break said,
            _status = read(&service, reads % 300 + 1) => reads += 1,
        }
    };
    assert!(
        said.contains("Moving slot") && said.contains("[OK] All 16384 slots covered"),
        "{said}"
    );
    assert!(reads > 0);
    assert_eq!(said.matches("slots | 0 slaves").count(), 3, "{said}");
}

#[tokio::test]
async fn eviction_is_seen() {
    const BREAKERS: &str = "larder_redis_breakers_open";
    if skip_without_servers("eviction_is_seen") {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let tiers = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l2"),
    ];
    let service = service_on(redis, &tiers).await;
    service.connected().await;
    let reader = Reader::of(&service, &[&service]);
    let counts = |said: &str| -> u64 {
        let numbers = said.lines().filter_map(|line| line.trim().strip_prefix("evicted_keys:"));
        numbers.map(|number| number.parse::<u64>().expect("a number")).sum()
    };
    assert!(reader.tries("policy").await.contains("volatile-"));
    assert_eq!(counts(&reader.tries("evicted").await), 0);
    // As if the machine had no more than a little beyond what an empty node takes.
    for port in ports(&service) {
        let used = redis_cli(&port, &["info", "memory"]).await;
        let used = used.lines().find_map(|line| line.trim().strip_prefix("used_memory:"));
        let most = used.expect("it says").parse::<u64>().expect("a number") + 100_000;
        redis_cli(&port, &["config", "set", "maxmemory", &most.to_string()]).await;
    }
    for round in 0..2 {
        for id in 1..=300 {
            read(&service, id).await;
            assert_eq!(service.get(&format!("/products/{id}")).await.json()["id"], id, "{round}");
        }
    }
    let evicted = counts(&reader.tries("evicted").await);
    assert!(evicted > 0, "three times 100 kB hold no 300 pages");
    // A change is seen all the same.
    change_price(&service, 7, 4_242).await;

    // With less than an empty node takes nothing is left to evict, and it refuses what would store. Nobody
    // who asks for a product notices.
    for port in ports(&service) {
        redis_cli(&port, &["config", "set", "maxmemory", "1"]).await;
    }
    eventually(SOON, "it is not asked any more", async || {
        read(&service, 1).await.contains("fwd=bypass; detail=redis-unavailable")
    })
    .await;
    assert!(metric(&service, BREAKERS, &[]).await > 0.0);
    change_price(&service, 7, 4_343).await;
    eventually(SOON, "the log says why", async || service.log().contains("OOM")).await;

    reader.tries("memory").await;
    eventually(SOON, "every shard is asked again", async || {
        metric(&service, BREAKERS, &[]).await == 0.0
    })
    .await;
    for id in 1..=300 {
        read(&service, id).await;
    }
    let evicted = counts(&reader.tries("evicted").await);
    for id in 1..=300 {
        let status = read(&service, id).await;
        assert!(status.contains("; hit"), "there is room for {id} now: {status}");
    }
    assert_eq!(counts(&reader.tries("evicted").await), evicted);
    assert_eq!(price(&service, 7).await, 4_343);
}

/// Changes the price of the product, and sees that it is told at once.
async fn change_price(process: &Process, id: u64, minor: i64) {
    let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
    process.json(Method::PATCH, &format!("/products/{id}"), &patch).await;
    assert_eq!(price(process, id).await, minor);
}

/// The ports of the nodes of Redis.
fn ports(service: &Service) -> impl Iterator<Item = String> {
    let nodes = service.redis.nodes().into_iter();
    nodes.map(|node| node.trim_end_matches('/').rsplit(':').next().expect("a port").to_owned())
}

async fn redis_cli(port: &str, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-p", port]).args(arguments).output().await;
    String::from_utf8(output.expect("it runs").stdout).expect("text")
}

#[tokio::test]
async fn restore_the_database() {
    if skip_without_servers("restore_the_database") {
        return;
    }
    let mut service = service(&[]).await;
    service.connected().await;
    let mut reader = Reader::of(&service, &[&service]);
    let of_the_dump = price(&service, 7).await;
    reader.tries("dump").await;

    let patch = json!({ "price": { "minor": 99_999, "currency": "EUR" } });
    service.json(Method::PATCH, "/products/7", &patch).await;
    eventually(SOON, "the later price is cached", async || {
        price(&service, 7).await == 99_999 && read(&service, 7).await.contains("; hit")
    })
    .await;
    service.process.terminate().await;
    let said = reader.tries("restore").await;
    assert!(said.lines().last().is_some_and(|line| line.split('.').count() == 4), "{said}");

    service.process = service.another().await;
    reader = Reader { folder: Reader::of(&service, &[&service]).folder, ..reader };
    service.connected().await;
    assert_eq!(price(&service, 7).await, of_the_dump);
    let second = price(&service, 7).await;
    let said = reader.tries("restored").await;
    let epoch = said.lines().find_map(|line| line.strip_prefix("product-page|"));
    let epoch = epoch.expect("its epoch").parse::<u64>().expect("a number");
    // Seconds since 2020: five years of them have passed.
    assert!(epoch > 5 * 365 * 86_400, "{said}");
    assert_eq!(second, of_the_dump);
    let drop = format!("DROP DATABASE {}_before WITH (FORCE)", service.database.name);
    service.database.execute(&drop).await;
}

#[tokio::test]
async fn deploy_a_new_envelope_format() {
    if skip_without_servers("deploy_a_new_envelope_format") {
        return;
    }
    let tiers = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "read-through"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l2"),
    ];
    let service = service(&tiers).await;
    service.connected().await;
    eventually(SOON, "it is in L2", async || read(&service, 7).await.contains("detail=l2")).await;
    let said = Reader::of(&service, &[&service]).tries("format").await;
    let seen = ["detail=unreadable", "hit", "larder_reason=\"format\""];
    let mut rest = said.as_str();
    for what in seen {
        rest = rest.split_once(what).unwrap_or_else(|| panic!("{what}: {said}")).1;
    }
    assert!(rest.lines().next().is_some_and(|line| line.ends_with("} 1")), "{said}");
}
