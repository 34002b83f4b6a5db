//! The service under test: its own process, database, role and key prefix.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use catalog_repository::migrate;
use catalog_repository::seed::{SeedOptions, generate};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use larder_stack::Topology;
use larder_stack::testing::{self, TestDatabase, TestPostgres, TestRedis};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// What every process takes, and every request shows unless it shows another.
pub(crate) const KEY: &str = "the key of these tests";

/// Dropped in this order: the process, its database, the servers.
pub(crate) struct Service {
    pub(crate) process: Process,
    pub(crate) database: TestDatabase,
    pub(crate) redis: TestRedis,
    settings: Vec<(String, String)>,
    _postgres: TestPostgres,
}

/// A running `catalog-api`.
pub(crate) struct Process {
    child: Child,
    pub(crate) url: String,
    folder: TempDir,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// 300 products with 3,000 reviews, on the shared servers; `settings` are `SECTION__KEY` pairs.
pub(crate) async fn service(settings: &[(&str, &str)]) -> Service {
    service_on(testing::redis_cluster(Topology::ThreeByZero).await, settings).await
}

/// The same on `redis`.
pub(crate) async fn service_on(redis: TestRedis, settings: &[(&str, &str)]) -> Service {
    let postgres = testing::postgres().await;
    let database = postgres.database().await;
    migrate(&database.admin_url).await.expect("the migrations apply");
    let options = SeedOptions { products: 300, reviews: 3_000, ..SeedOptions::default() };
    generate(&database.admin_url, &options, |_| ()).await.expect("the catalogue is filled");
    let environment = testing::unique("api");
    let own = [
        ("DATABASE__URL", database.app_url.as_str()),
        ("DATABASE__FEED_URL", database.feed_url.as_str()),
        ("REDIS__NODES", &redis.nodes().join(",")),
        ("CACHE__ENVIRONMENT", &environment),
        ("SERVER__ADMIN_KEY", KEY),
    ];
    let all = own.iter().chain(settings);
    let all: Vec<_> = all.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let process = Process::start(&all).await;
    Service { process, database, redis, settings: all, _postgres: postgres }
}

impl std::ops::Deref for Service {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

impl Service {
    /// What its processes are told of `SECTION__KEY`.
    pub(crate) fn setting(&self, key: &str) -> &str {
        let found = self.settings.iter().find(|(known, _)| known == key);
        &found.expect("it is set").1
    }

    /// Another process with the same settings.
    pub(crate) async fn another(&self) -> Process {
        Process::start(&self.settings).await
    }

    /// Another process with some settings of its own.
    pub(crate) async fn another_with(&self, settings: &[(&str, &str)]) -> Process {
        let own = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let all: Vec<_> = self.settings.iter().cloned().chain(own).collect();
        Process::start(&all).await
    }

    /// The program with the same settings and some of its own.
    pub(crate) fn program(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = program();
        let own = settings.iter().copied();
        for (key, value) in self.settings.iter().map(|(key, value)| (&**key, &**value)).chain(own) {
            command.env(format!("LARDER__{key}"), value);
        }
        command
    }

    /// Waits until lookups reach Redis.
    pub(crate) async fn connected(&self) {
        eventually(Duration::from_secs(20), "Redis is reached", async || {
            self.get("/readyz").await.json()["redis"] == "up"
        })
        .await;
    }

    /// Statements as the service counts them: completed, failed, unknown; waits until none is
    /// in flight.
    pub(crate) async fn statements(&self) -> [u64; 3] {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let totals = self.get("/admin/queries").await.json()["totals"].clone();
            let number = |name: &str| totals[name].as_u64().expect("a count");
            if number("in_flight") == 0 {
                return ["completed", "failed", "unknown"].map(number);
            }
            assert!(Instant::now() < deadline, "{totals}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Process {
    /// Starts `catalog-api serve` on a free port and waits until it listens.
    pub(crate) async fn start(settings: &[(String, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let announce = folder.path().join("address");
        let log = std::fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = program();
        command.args(["serve", "--announce"]).arg(&announce).current_dir(folder.path());
        command.env("LARDER__SERVER__BIND", "127.0.0.1:0");
        for (key, value) in settings {
            command.env(format!("LARDER__{key}"), value);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the service starts");
        let client = Client::builder(TokioExecutor::new()).build_http();
        let mut process = Self { child, url: String::new(), folder, client };
        let deadline = Instant::now() + Duration::from_secs(30);
        while process.url.is_empty() {
            if let Ok(address) = std::fs::read_to_string(&announce) {
                process.url = format!("http://{address}");
            } else {
                let ended = process.child.try_wait().expect("asks for the process");
                assert!(ended.is_none() && Instant::now() < deadline, "{}", process.log());
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        process
    }

    /// Ends it as a crash would.
    pub(crate) fn kill_hard(&self) {
        self.signal(Signal::KILL);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.expect("a process id"), signal).expect("the process is ours");
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn terminate(&mut self) {
        self.signal(Signal::TERM);
        self.ended().await;
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self) {
        eventually(Duration::from_secs(40), "the service ends", async || {
            self.child.try_wait().expect("asks for the process").is_some()
        })
        .await;
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    /// What a `PATCH` is answered; `None` when the connection is lost.
    pub(crate) async fn try_patch(&self, path: &str, patch: &Value) -> Option<Answer> {
        let request = hyper::Request::patch(format!("{}{path}", self.url))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {KEY}"))
            .body(Full::new(patch.to_string().into()));
        self.try_send(request.expect("a valid request")).await
    }

    pub(crate) async fn json(&self, method: Method, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request =
            hyper::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if !headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", format!("Bearer {KEY}"));
        }
        // An empty one is left out: the request shows no key.
        let shown = |it: &&(&str, &str)| *it != &("authorization", "");
        for (name, value) in headers.iter().filter(shown) {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a valid request");
        self.try_send(request).await.expect("an answer")
    }

    /// The answer; `None` when the connection is lost.
    pub(crate) async fn try_get(&self, path: &str) -> Option<Answer> {
        let request = hyper::Request::get(format!("{}{path}", self.url));
        self.try_send(request.body(Full::default()).expect("a valid request")).await
    }

    async fn try_send(&self, request: hyper::Request<Full<Bytes>>) -> Option<Answer> {
        let response = self.client.request(request).await.ok()?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    pub(crate) fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    pub(crate) fn cache_status(&self) -> &str {
        self.header("cache-status")
    }
}

/// The program under test, with none of this process's settings.
pub(crate) fn program() -> Command {
    let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_catalog-api")));
    for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("LARDER__")) {
        command.env_remove(key);
    }
    command
}

/// What the command line `larder` says, and its exit code.
pub(crate) async fn larder(process: &Process, arguments: &[&str]) -> (String, i32) {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_larder"));
    command.env("ADMIN_KEY", KEY).env("API_URL", &process.url).args(arguments);
    let output = command.output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (String::from_utf8(said).expect("text"), output.status.code().expect("it ends by itself"))
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> bool,
) {
    let deadline = Instant::now() + limit;
    while !condition().await {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
