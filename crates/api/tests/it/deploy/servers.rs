//! Redis, Postgres and HAProxy, started with the settings that Compose mounts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use larder_stack::testing::{self, skip_without_servers};
use reqwest::StatusCode;

use super::stack::Stack;
use super::{Running, repository, succeeds, text, tool};
use crate::support::{Process, eventually, service};

/// `words` with what a container has of its own replaced by what this machine has.
fn here(words: Vec<String>, instead: &[(&str, &str)]) -> Vec<String> {
    let instead: BTreeMap<&str, &str> = instead.iter().copied().collect();
    let replace = |word: String| match instead.get(word.as_str()) {
        Some(other) => (*other).to_owned(),
        None => word,
    };
    words.into_iter().map(replace).collect()
}

#[test]
fn redis_nodes_of_the_compose_file_become_a_cluster() {
    let test = "redis_nodes_of_the_compose_file_become_a_cluster";
    let (Some(server), Some(cli)) = (tool("redis-server", test), tool("redis-cli", test)) else {
        return;
    };
    let stack = Stack::read();
    let first = testing::free_ports(6);
    let settings = repository("deploy/redis/redis.conf").display().to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let mut nodes = Vec::new();
    let mut addresses = Vec::new();
    for index in 0..6u16 {
        let name = format!("redis-{index}");
        let inside = stack.environment(&name)["PORT"].clone();
        let port = (first + index).to_string();
        let data = folder.path().join(&name);
        std::fs::create_dir(&data).expect("a folder");
        let announced = stack.service(&name)["networks"]["larder"]["ipv4_address"].as_str();
        let announced = announced.expect("an address").to_owned();
        let words = here(
            stack.words(&name, "command"),
            &[
                ("/etc/larder/redis.conf", &settings),
                (&inside, &port),
                ("0.0.0.0", "127.0.0.1"),
                ("/data", &data.display().to_string()),
                (&announced, "127.0.0.1"),
            ],
        );
        nodes.push(Running::start(Command::new(&server).args(words).stdout(Stdio::null())));
        addresses.push((format!("{announced}:{inside}"), format!("127.0.0.1:{port}")));
    }

    let named = stack.words("redis-cluster", "command");
    assert_eq!(named, addresses.iter().map(|(inside, _)| inside.clone()).collect::<Vec<_>>());
    let outside = addresses.iter().map(|(_, outside)| outside.clone());
    let form = || {
        let mut script = Command::new("sh");
        succeeds(script.arg(repository("deploy/redis/form.sh")).args(outside.clone()))
    };
    assert_eq!(form(), "The cluster is formed.\n");
    let ask = |node: &str, words: &[&str]| {
        let (host, port) = node.split_once(':').expect("an address");
        succeeds(Command::new(&cli).args(["-h", host, "-p", port]).args(words))
    };
    let members = ask(&addresses[0].1, &["cluster", "nodes"]);
    assert_eq!(members.lines().filter(|line| line.contains("master")).count(), 3, "{members}");
    assert_eq!(members.lines().filter(|line| line.contains("slave")).count(), 3, "{members}");
    for (setting, value) in [
        ("maxmemory-policy", "volatile-lru"),
        ("cluster-require-full-coverage", "no"),
        ("save", ""),
        ("appendonly", "no"),
    ] {
        let shown = ask(&addresses[5].1, &["config", "get", setting]);
        assert_eq!(shown, format!("{setting}\n{value}\n"));
    }
    for index in 0..6 {
        let dump = folder.path().join(format!("redis-{index}/dump.rdb"));
        assert!(!dump.exists(), "{} could bring old entries back", dump.display());
    }

    // What is formed is left alone, entries and all.
    ask(&addresses[0].1, &["-c", "set", "kept", "1"]);
    assert_eq!(form(), "The cluster is formed already.\n");
    assert_eq!(ask(&addresses[0].1, &["-c", "get", "kept"]), "1\n");
    // What cannot form again by itself is made anew.
    ask(&addresses[1].1, &["cluster", "reset", "soft"]);
    ask(&addresses[2].1, &["flushall"]);
    ask(&addresses[2].1, &["cluster", "reset", "hard"]);
    assert_eq!(form(), "The cluster is formed.\n");
}

#[test]
fn postgres_reads_its_settings_as_compose_starts_it() {
    let test = "postgres_reads_its_settings_as_compose_starts_it";
    let Some(postgres) = tool("postgres", test) else { return };
    let settings = repository("deploy/postgres/postgresql.conf").display().to_string();
    let mounted = "config_file=/etc/larder/postgresql.conf";
    let given = format!("config_file={settings}");
    let words = here(Stack::read().words("postgres", "command"), &[(mounted, &given)]);
    assert!(words.contains(&given), "{words:?}");
    let folder = tempfile::tempdir().expect("a folder");
    for (setting, value) in [
        ("shared_preload_libraries", "pg_stat_statements"),
        ("pg_stat_statements.track_utility", "off"),
        ("track_commit_timestamp", "on"),
        ("listen_addresses", "*"),
    ] {
        let mut command = Command::new(&postgres);
        // First: root may ask for a setting, and do nothing else.
        command.args(["-C", setting]).args(&words[1..]).arg("-D").arg(folder.path());
        assert_eq!(succeeds(&mut command).trim(), value, "{setting}");
    }
}

#[tokio::test]
async fn roles_are_made_and_given_their_passwords_each_time() {
    let test = "roles_are_made_and_given_their_passwords_each_time";
    let Some(psql) = tool("psql", test) else { return };
    if skip_without_servers(test) {
        return;
    }
    let postgres = testing::private_postgres().await;
    let database = postgres.database().await;
    let script = repository("deploy/postgres/roles.sql").display().to_string();
    let stack = Stack::read();
    let words = stack.words("roles", "entrypoint");
    let flags = words.iter().skip(1).take_while(|word| *word != "-h");
    let (last, named) = (words.last().expect("a script"), "/etc/larder/roles.sql");
    assert_eq!(last, named);
    for password in ["first", "second"] {
        let mut command = Command::new(&psql);
        command.args(flags.clone()).args(["-d", &database.admin_url, "-f", &script]);
        command.env("APP_PASSWORD", password).env("FEED_PASSWORD", password);
        succeeds(&mut command);
        for role in ["larder_app", "larder_feed"] {
            let (_, rest) = database.admin_url.split_once('@').expect("a user");
            let mut command = Command::new(&psql);
            command
                .args(["-X", "-A", "-t", "-d"])
                .arg(format!("postgres://{role}:{password}@{rest}"));
            let shown = succeeds(command.args(["-c", "SELECT current_user"]));
            assert_eq!(shown.trim(), role);
        }
    }
    let mut command = Command::new(&psql);
    command.args(["-X", "-A", "-t", "-d", &database.admin_url]);
    let memberships = "SELECT pg_has_role('larder_app', 'larder_application', 'member') \
         AND pg_has_role('larder_feed', 'larder_relay', 'member') \
         AND NOT pg_has_role('larder_app', 'larder_relay', 'member')";
    assert_eq!(succeeds(command.args(["-c", memberships])).trim(), "t");
}

/// HAProxy in front of `replicas`, as Compose starts it, on ports of its own.
pub(crate) struct Balancer {
    pub(crate) url: String,
    pub(super) metrics: String,
    _program: Running,
}

impl Balancer {
    /// `None`, and says so, where `test` must be skipped for want of HAProxy.
    pub(crate) async fn start(folder: &Path, replicas: [&str; 2], test: &str) -> Option<Self> {
        let haproxy = tool("haproxy", test)?;
        let port = testing::free_ports(2);
        let (url, metrics) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
        let mut settings = text("deploy/haproxy/haproxy.cfg");
        for (inside, outside) in [
            ("bind :8080", format!("bind {url}")),
            ("bind :8405", format!("bind {metrics}")),
            ("api-1:8080", replicas[0].replace("http://", "")),
            ("api-2:8080", replicas[1].replace("http://", "")),
        ] {
            assert!(settings.contains(inside), "{inside}");
            settings = settings.replace(inside, &outside);
        }
        let file = folder.join("haproxy.cfg");
        std::fs::write(&file, settings).expect("it is written");
        let file = file.display().to_string();
        let words =
            here(Stack::read().words("balancer", "command"), &[("/etc/larder/haproxy.cfg", &file)]);
        // One process instead of a master and a worker: the test ends what it started.
        let words: Vec<_> = words[1..].iter().filter(|word| *word != "-W").collect();
        succeeds(Command::new(&haproxy).arg("-c").args(&words));
        let program = Running::start(
            Command::new(haproxy).args(words).stdout(Stdio::null()).stderr(Stdio::null()),
        );
        let balancer = Self { url: format!("http://{url}"), metrics, _program: program };
        let client = client();
        eventually(Duration::from_secs(20), "the balancer has replicas", async || {
            get(&client, &format!("{}/readyz", balancer.url)).await == Some(StatusCode::OK)
        })
        .await;
        Some(balancer)
    }
}

pub(super) fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}

pub(super) async fn get(client: &reqwest::Client, url: &str) -> Option<StatusCode> {
    client.get(url).send().await.ok().map(|answer| answer.status())
}

#[tokio::test]
async fn the_balancer_loses_no_request_when_a_replica_ends() {
    let test = "the_balancer_loses_no_request_when_a_replica_ends";
    if skip_without_servers(test) {
        return;
    }
    let service = service(&[]).await;
    let mut second = service.another().await;
    let folder = tempfile::tempdir().expect("a folder");
    let Some(balancer) = Balancer::start(folder.path(), [&service.url, &second.url], test).await
    else {
        return;
    };
    let balanced = get(&client(), &format!("{}/balancer", balancer.url)).await;
    assert_eq!(balanced, Some(StatusCode::OK), "its own health");

    let asked = Arc::new(AtomicU32::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|number: u32| {
        let (asked, stop, url) = (Arc::clone(&asked), Arc::clone(&stop), balancer.url.clone());
        tokio::spawn(async move {
            let client = client();
            let mut failed = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let id = asked.fetch_add(1, Ordering::Relaxed) % 50 + number + 1;
                let answer = get(&client, &format!("{url}/products/{id}")).await;
                if answer != Some(StatusCode::OK) {
                    failed.push(answer);
                }
            }
            failed
        })
    });
    let clients: Vec<_> = clients.collect();
    let served = async |process: &Process| {
        let metrics = process.get("/metrics").await;
        String::from_utf8_lossy(&metrics.body).contains("http_route=\"/products/{id}\"")
    };
    eventually(Duration::from_secs(20), "both replicas serve", async || {
        served(&service.process).await && served(&second).await
    })
    .await;
    second.terminate().await;
    let before = asked.load(Ordering::Relaxed);
    eventually(Duration::from_secs(20), "the other one serves on", async || {
        asked.load(Ordering::Relaxed) > before + 200
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        assert_eq!(client.await.expect("no panic"), vec![], "of {asked:?} requests");
    }
}

#[tokio::test]
async fn the_health_check_of_containers_tells_ready_from_not() {
    let test = "the_health_check_of_containers_tells_ready_from_not";
    if skip_without_servers(test) {
        return;
    }
    let stack = Stack::read();
    let check = stack.service("api-1")["healthcheck"]["test"].clone();
    assert_eq!(check[1], "/usr/local/bin/ready", "where the Dockerfile puts it");
    let service = service(&[]).await;
    let (host, port) = service.url["http://".len()..].rsplit_once(':').expect("an address");
    let ready = |port: &str| {
        let mut script = Command::new(repository("deploy/api/ready.sh"));
        script.args([host, port]).stderr(Stdio::null()).status().expect("it runs").success()
    };
    assert!(ready(port));
    assert!(!ready(&testing::free_ports(1).to_string()));
    service.database.shut().await;
    assert!(!ready(port), "Postgres does not answer");
}
