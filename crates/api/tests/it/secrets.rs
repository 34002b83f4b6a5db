//! No secret is in anything that the programs say, whatever becomes of them.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::web::{self, Bytes, Data};
use actix_web::{App, HttpResponse, HttpServer};
use catalog_repository::migrate;
use catalog_repository::seed::{SeedOptions, generate};
use hyper::http::request::Builder;
use hyper::{Method, Request};
use larder_stack::Topology;
use larder_stack::testing::{self, TestDatabase, TestPostgres, TestRedis, skip_without_servers};
use tempfile::TempDir;

use crate::startup::run;
use crate::support::{Process, eventually};
use crate::tls::Certificates;

const PATIENCE: Duration = Duration::from_secs(30);

const APP_PASSWORD: &str = "app-4c1f0a77d2";
const FEED_PASSWORD: &str = "feed-93b58e6a10";
const ADMIN_PASSWORD: &str = "owner-7be204c9f3";
const REDIS_PASSWORD: &str = "redis-e81d6f35b4";
const ADMIN_KEY: &str = "key-58f3a1d09c6e27b4";
/// What somebody shows instead of the key: it may be the key to something else.
const WRONG_KEY: &str = "key-of-something-else-02d7";

/// What was said, by whom.
type Said = Vec<(String, String)>;

/// Servers that ask for these passwords, and files that hold the settings.
struct Scene {
    settings: Vec<(String, String)>,
    certificates: Certificates,
    otlp: Arc<Mutex<Vec<u8>>>,
    redis: TestRedis,
    database: TestDatabase,
    folder: TempDir,
    _postgres: TestPostgres,
}

/// Whatever is sent there, as it is: neither names nor values are compressed in it.
async fn otlp_receiver(received: Arc<Mutex<Vec<u8>>>) -> String {
    async fn take(received: Data<Arc<Mutex<Vec<u8>>>>, body: Bytes) -> HttpResponse {
        received.lock().expect("no panic").extend_from_slice(&body);
        HttpResponse::Ok().finish()
    }
    let server = HttpServer::new(move || {
        App::new()
            .app_data(Data::new(Arc::clone(&received)))
            .app_data(web::PayloadConfig::new(64 << 20))
            .default_service(web::to(take))
    });
    let server = server.workers(1).bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", server.addrs()[0]);
    tokio::spawn(server.run());
    endpoint
}

/// Sends one command to each node.
fn tell(redis: &TestRedis, command: &str) {
    for node in redis.nodes() {
        let mut stream = TcpStream::connect(node.trim_start_matches("redis://")).expect("a node");
        stream.write_all(format!("{command}\r\n").as_bytes()).expect("is sent");
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).expect("an answer");
        assert!(answer.starts_with('+') || answer.starts_with(':'), "{command}: {answer}");
    }
}

impl Scene {
    async fn new() -> Self {
        let postgres = testing::postgres().await;
        let database = postgres.database().await;
        migrate(&database.admin_url).await.expect("the migrations apply");
        let options = SeedOptions { products: 20, reviews: 20, ..SeedOptions::default() };
        generate(&database.admin_url, &options, |_| ()).await.expect("the catalogue is filled");
        for (role, password) in
            [(&database.app_role, APP_PASSWORD), (&database.feed_role, FEED_PASSWORD)]
        {
            database.execute(&format!("ALTER ROLE {role} PASSWORD '{password}'")).await;
        }
        let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
        tell(&redis, &format!("ACL SETUSER larder on >{REDIS_PASSWORD} ~* &* +@all"));
        let user = format!("redis://larder:{REDIS_PASSWORD}@");
        let nodes: Vec<String> =
            redis.nodes().iter().map(|node| node.replace("redis://", &user)).collect();
        let otlp = Arc::default();
        let endpoint = otlp_receiver(Arc::clone(&otlp)).await;

        let folder = tempfile::tempdir().expect("a folder");
        let app = database.app_url.replace(":test@", &format!(":{APP_PASSWORD}@"));
        let feed = database.feed_url.replace(":test@", &format!(":{FEED_PASSWORD}@"));
        let place = database.app_url.rsplit('@').next().expect("a host");
        let secrets = [
            ("DATABASE__URL", app),
            ("DATABASE__FEED_URL", feed),
            // Nobody has this password: what needs it fails.
            ("DATABASE__ADMIN_URL", format!("postgres://larder_admin:{ADMIN_PASSWORD}@{place}")),
            ("REDIS__NODES", nodes.join(",")),
            ("SERVER__ADMIN_KEY", ADMIN_KEY.to_owned()),
        ];
        let mut settings = Vec::new();
        for (key, value) in secrets {
            let file = folder.path().join(key);
            std::fs::write(&file, format!("{value}\n")).expect("writes");
            settings.push((format!("{key}_FILE"), file.display().to_string()));
        }
        for (key, value) in [
            ("CACHE__ENVIRONMENT", testing::unique("secrets").as_str()),
            ("TELEMETRY__LOG_FILTER", "trace"),
            ("TELEMETRY__OTLP_LOG_FILTER", "trace"),
            ("TELEMETRY__OTLP_ENDPOINT", &endpoint),
            ("TELEMETRY__EXPORT_INTERVAL_MS", "200"),
        ] {
            settings.push((key.to_owned(), value.to_owned()));
        }
        let certificates = Certificates::of("127.0.0.1");
        Self { settings, certificates, otlp, redis, database, folder, _postgres: postgres }
    }

    /// The settings, with `more`.
    fn with(&self, more: &[(String, String)]) -> Vec<(String, String)> {
        self.settings.iter().chain(more).cloned().collect()
    }

    /// Every secret, by name. A key in PEM is told by each of its lines.
    fn secrets(&self) -> Vec<(&str, &str)> {
        let key = self.certificates.key.lines().filter(|line| !line.starts_with('-'));
        let mut secrets: Vec<(&str, &str)> = key.map(|line| ("TLS key", line)).collect();
        assert!(secrets.len() > 1, "the key has lines");
        secrets.extend([
            ("password of the application's role", APP_PASSWORD),
            ("password of the relay's role", FEED_PASSWORD),
            ("password of the owner", ADMIN_PASSWORD),
            ("password of Redis", REDIS_PASSWORD),
            ("admin key", ADMIN_KEY),
            ("another key", WRONG_KEY),
        ]);
        secrets
    }

    /// Runs a program to its end: its name and all that it printed.
    fn ran(&self, arguments: &[&str]) -> (String, String) {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let (code, stdout, stderr) = run(arguments, &settings);
        (format!("catalog-api {arguments:?}"), format!("{code:?}\n{stdout}{stderr}"))
    }

    /// Both databases are there, but the passwords are others now.
    async fn change_the_locks(&self) {
        for role in [&self.database.app_role, &self.database.feed_role] {
            self.database.execute(&format!("ALTER ROLE {role} PASSWORD 'another'")).await;
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
            self.database.execute(&format!("{end} = '{role}'")).await;
        }
        tell(&self.redis, "ACL SETUSER larder resetpass >another");
        tell(&self.redis, "CLIENT KILL USER larder");
    }
}

/// What a client may do right and wrong, with and without a key.
fn requests() -> Vec<(Builder, String)> {
    let json = |method: Method, path: &str| {
        Request::builder().method(method).uri(path).header("content-type", "application/json")
    };
    let bearer = |key: &str| format!("Bearer {key}");
    let switch = r#"{"namespace":"product-page","strategy":"read-through","tiers":"l2"}"#;
    let put = || json(Method::PUT, "/admin/strategy");
    let mut all: Vec<(Builder, String)> = [
        "/products/1",
        "/products/1",
        "/products/999999",
        "/products/nine",
        "/categories/none/products",
        "/admin/config",
        "/admin/cache",
        "/admin/queries",
        "/admin/journal",
        "/admin/strategy",
        "/admin/keys",
        "/",
        "/dashboard/app.js",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/nothing",
        "/metrics",
    ]
    .map(|path| (Request::get(path).header("authorization", bearer(ADMIN_KEY)), String::new()))
    .into();
    all.extend([
        (put(), switch.to_owned()),
        (put().header("authorization", bearer(WRONG_KEY)), switch.to_owned()),
        (put().header("authorization", format!("Basic {WRONG_KEY}")), switch.to_owned()),
        (put().header("authorization", bearer(ADMIN_KEY)), switch.to_owned()),
        (put().header("authorization", bearer(ADMIN_KEY)), "{".to_owned()),
        (
            json(Method::PATCH, "/products/1").header("authorization", bearer(ADMIN_KEY)),
            r#"{"price":{"minor":5,"currency":"EUR"}}"#.to_owned(),
        ),
        (
            json(Method::POST, "/products").header("authorization", bearer(ADMIN_KEY)),
            "x".repeat(70_000),
        ),
    ]);
    all
}

/// Makes all requests by TLS; what was answered.
async fn make(scene: &Scene, process: &Process) -> Said {
    let mut said = Said::new();
    for (request, body) in requests() {
        let what = format!("answer to {request:?}").replace(ADMIN_KEY, "…").replace(WRONG_KEY, "…");
        // What is too large may be cut off before its answer is read.
        if let Ok((status, body)) = scene.certificates.ask(process, request, &body).await {
            said.push((what, format!("{status} {body}")));
        }
    }
    said
}

/// Finds each secret in what was said.
fn leaks(scene: &Scene, said: &Said) -> Vec<String> {
    let mut leaks = Vec::new();
    for (name, secret) in scene.secrets() {
        for (who, text) in said {
            if let Some(at) = text.find(secret) {
                let from = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
                let to = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
                leaks.push(format!("{name} in {who}: {}", &text[from..to]));
            }
        }
    }
    leaks
}

#[tokio::test]
async fn no_secret_is_in_what_the_service_logs_exports_or_answers() {
    if skip_without_servers("no_secret_is_in_what_the_service_logs_exports_or_answers") {
        return;
    }
    let scene = Scene::new().await;
    let mut said = vec![scene.ran(&["config"]), scene.ran(&["migrate"])];
    assert!(said[0].1.contains("larder:***@"), "{}", said[0].1);
    let mut processes = Vec::new();
    for format in ["text", "json"] {
        let more = [("TELEMETRY__LOG_FORMAT".to_owned(), format.to_owned())];
        let settings = scene.with(&[&more[..], &scene.certificates.settings()].concat());
        processes.push((format, Process::start(&settings).await));
    }
    for (_, process) in &processes {
        eventually(PATIENCE, "Redis is reached", async || {
            let ready = scene.certificates.ask(process, Request::get("/readyz"), "").await;
            ready.is_ok_and(|(_, body)| body.contains(r#""redis":"up""#))
        })
        .await;
        said.extend(make(&scene, process).await);
    }
    scene.change_the_locks().await;
    for (format, process) in &processes {
        eventually(PATIENCE, "Postgres and Redis refuse the old passwords", async || {
            // A lookup is what notices that Redis does.
            let _answer = scene.certificates.ask(process, Request::get("/products/1"), "").await;
            let ready = scene.certificates.ask(process, Request::get("/readyz"), "").await;
            let down = |body: &str| {
                let refused = process.log().contains("AuthenticationFailed");
                let redis = refused || body.contains(r#""redis":"down""#);
                redis && body.contains(r#""postgres":"down""#)
            };
            ready.is_ok_and(|(_, body)| down(&body))
        })
        .await;
        said.extend(make(&scene, process).await);
        assert!(process.log().contains("TRACE"), "{}", process.log());
        assert!(process.log().contains("password authentication failed"), "{}", process.log());
        said.push((format!("the log, as {format}"), process.log()));
    }
    // One that is refused from the beginning.
    said.push(scene.ran(&["serve"]));
    eventually(PATIENCE, "traces, metrics and logs arrive", async || {
        let received = scene.otlp.lock().expect("no panic");
        let received = String::from_utf8_lossy(&received);
        let logs = ["password authentication failed", "TRACE"];
        let names = ["UPDATE products", "larder.cache.lookups"];
        names.iter().chain(&logs).all(|wanted| received.contains(wanted))
    })
    .await;
    let received = scene.otlp.lock().expect("no panic").clone();
    said.push(("OTLP".to_owned(), String::from_utf8_lossy(&received).into_owned()));
    let leaks = leaks(&scene, &said);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[tokio::test]
async fn no_secret_is_in_what_the_operators_program_prints() {
    if skip_without_servers("no_secret_is_in_what_the_operators_program_prints") {
        return;
    }
    let scene = Scene::new().await;
    // Nobody is there to take what is exported, which is said, too.
    let endpoint = ("TELEMETRY__OTLP_ENDPOINT".to_owned(), "http://127.0.0.1:9".to_owned());
    let settings = scene.with(&[endpoint]);
    let process = Process::start(&settings).await;
    eventually(PATIENCE, "exports fail", async || {
        process.get("/products/1").await;
        process.log().contains("ConnectError")
    })
    .await;
    let mut said = Said::new();
    for key in [ADMIN_KEY, WRONG_KEY] {
        for api in [process.url.as_str(), "http://127.0.0.1:9", "nowhere"] {
            for arguments in [&["journal"][..], &["dead-letters", "replay", "1"], &["--help"]] {
                let mut command = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_larder")));
                command.args(arguments).current_dir(scene.folder.path());
                let output = command.env("API_URL", api).env("ADMIN_KEY", key).output();
                let output = output.expect("runs");
                let text = [output.stdout, output.stderr].concat();
                let who = format!("larder {arguments:?} at {api}");
                said.push((who, String::from_utf8_lossy(&text).into_owned()));
            }
        }
    }
    said.push(("the log".to_owned(), process.log()));
    let leaks = leaks(&scene, &said);
    assert!(leaks.is_empty(), "{leaks:#?}");
}

#[test]
fn a_setting_that_cannot_be_read_is_not_repeated() {
    for (key, value) in [
        ("DATABASE__URL", "postgres://app:5ecre7@db:port/larder"),
        ("DATABASE__URL", "postgres//app:5ecre7@db/larder"),
        ("DATABASE__FEED_URL", "postgres://feed:5ecre7@db:port/larder"),
        ("DATABASE__ADMIN_URL", "postgres://owner:5ecre7@db:port/larder"),
        ("REDIS__NODES", "redis://larder:5ecre7@node:port"),
        ("REDIS__NODES", "larder:5ecre7@node"),
        ("TELEMETRY__OTLP_ENDPOINT", "http://user:5ecre7@ no host"),
        ("TELEMETRY__OTLP_ENDPOINT", "http://user:5ecre7@host:4318"),
        ("SERVER__ADMIN_KEY", "5ecre7"),
    ] {
        for command in ["serve", "migrate", "config"] {
            let (_, stdout, stderr) =
                run(&[command], &[(key, value), ("SERVER__BIND", "127.0.0.1:0")]);
            assert!(!stderr.contains("5ecre7"), "{key}, {command}: {stderr}");
            assert!(!stdout.contains("5ecre7"), "{key}, {command}: {stdout}");
        }
    }
}
