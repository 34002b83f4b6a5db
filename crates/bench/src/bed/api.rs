//! An API process of the benchmark's own, with a database role of its own.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Bed;
use crate::load::{Client, key};

/// The signal of a process that ended itself: SIGABRT.
const ABORTED: i32 = 6;
/// Connections of an API process beside those of the load: who reads its counters, and what workers
/// that share the bound unevenly need.
const SPARE_CONNECTIONS: usize = 1_024;

/// How an API process is configured.
#[derive(Clone, Debug, Default)]
pub struct ApiSettings {
    /// The strategy of both namespaces.
    pub strategy: String,
    /// The tiers of both namespaces.
    pub tiers: String,
    /// 0: unbounded.
    pub ttl_ms: u64,
    /// How long L1 serves an entry without asking L2.
    pub l1_ttl_ms: u64,
    /// The database, by its administrator's URL.
    pub admin_url: String,
    /// The first part of all cache keys, for processes that share them; none: one of its own.
    pub environment: Option<String>,
    /// `redis://host:port` of the nodes, comma-separated; none: the bed's.
    pub redis_nodes: Option<String>,
    /// Connections that a load opens to it at once; 0: fewer than the service allows anyway.
    pub connections: usize,
    /// Further settings, as the environment variables that make them.
    pub more: Vec<(String, String)>,
}

impl ApiSettings {
    /// What `server.max_connections` must be. One load's connections may still be closing while the
    /// next one's are made.
    const fn max_connections(&self) -> Option<usize> {
        match self.connections {
            0 => None,
            connections => Some(2 * connections + SPARE_CONNECTIONS),
        }
    }
}

/// A running API process. Its statements are those of its role, whoever else uses the
/// database; its cache keys are those of its environment, whoever else uses the cluster.
#[derive(Debug)]
pub struct Api {
    settings: ApiSettings,
    child: Option<Child>,
    address: SocketAddr,
    role: String,
    url: String,
    feed_url: String,
    pool_bound: u64,
}

impl Api {
    /// Makes a role, starts the process, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it does not; the end of its log is in the message.
    pub async fn start(bed: &Bed, settings: ApiSettings) -> Result<Self> {
        let (role, url) = bed.role(&settings.admin_url, "larder_application").await?;
        let url = bed.for_service(url);
        // The relay is counted on its own: it asks whether anybody reads or not.
        let (_, feed_url) = bed.role(&settings.admin_url, "larder_relay").await?;
        let feed_url = bed.for_service(feed_url);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut api = Self { settings, child: None, address, role, url, feed_url, pool_bound: 0 };
        ensure!(api.launch(bed, &[]).await?, "catalog-api aborted: {}", api.said());
        let config = api.client().fetch("/admin/config").await?;
        let config: serde_json::Value = serde_json::from_slice(&config)?;
        let bound = config["database"]["max_connections"].as_u64();
        api.pool_bound = bound.context("/admin/config has database.max_connections")?;
        Ok(api)
    }

    /// Starts it again, as it was, with `more` settings for this time. It listens elsewhere. Whether
    /// it came up: with a place to crash among `more` it may have come to that place already.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self, bed: &Bed, more: &[(&str, String)]) -> Result<bool> {
        self.kill();
        self.launch(bed, more).await
    }

    /// Ends it as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// What it said before it ended.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder().join("log")).unwrap_or_default()
    }

    fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.role)
    }

    /// Whether it listens; if not, it has aborted on purpose.
    async fn launch(&mut self, bed: &Bed, more: &[(&str, String)]) -> Result<bool> {
        let folder = self.folder();
        std::fs::create_dir_all(&folder)?;
        let announce = folder.join("address");
        if announce.exists() {
            std::fs::remove_file(&announce)?;
        }
        let settings = &self.settings;
        let environment = settings.environment.as_deref().unwrap_or(&self.role);
        let redis_nodes = settings.redis_nodes.as_deref().unwrap_or(&bed.redis_nodes);
        let mut command = Command::new(&bed.api);
        command
            .args(["serve", "--announce"])
            .arg(&announce)
            .current_dir(&folder)
            .env("LARDER__SERVER__BIND", "127.0.0.1:0")
            .env("LARDER__SERVER__BENCH_ROUTES", "true")
            .env("LARDER__SERVER__ADMIN_KEY", key())
            .env("LARDER__DATABASE__URL", &self.url)
            .env("LARDER__DATABASE__FEED_URL", &self.feed_url)
            .env("LARDER__REDIS__NODES", redis_nodes)
            .env("LARDER__CACHE__ENVIRONMENT", environment)
            .envs(settings.more.iter().map(|(key, value)| (key, value)))
            .envs(more.iter().map(|(key, value)| (key, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log"))?);
        for namespace in ["PRODUCT_PAGE", "PRODUCT_SUMMARY"] {
            let key = |field: &str| format!("LARDER__NAMESPACES__{namespace}__{field}");
            command
                .env(key("STRATEGY"), &settings.strategy)
                .env(key("TIERS"), &settings.tiers)
                .env(key("TTL_MS"), settings.ttl_ms.to_string())
                .env(key("L1_TTL_MS"), settings.l1_ttl_ms.to_string());
        }
        if let Some(most) = settings.max_connections() {
            command.env("LARDER__SERVER__MAX_CONNECTIONS", most.to_string());
        }
        let child = command.spawn().with_context(|| format!("starting {}", bed.api.display()))?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + Duration::from_secs(30);
        self.address = loop {
            if let Ok(text) = std::fs::read_to_string(&announce) {
                break text.parse().context("the announced address")?;
            }
            match child.try_wait()? {
                Some(ended) if ended.signal() == Some(ABORTED) => return Ok(false),
                None if Instant::now() < deadline => {}
                _ => bail!("catalog-api did not start: {}", self.said()),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        // It connects to Redis in the background; the first requests are not to miss for that.
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let ready = self.client().fetch("/readyz").await;
            if ready.is_ok_and(|body| String::from_utf8_lossy(&body).contains(r#""redis":"up""#)) {
                return Ok(true);
            }
            if !self.is_running() {
                return Ok(false);
            }
            if Instant::now() > deadline {
                bail!("catalog-api does not reach Redis");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process id; -1 when it was killed.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.child.as_ref().and_then(|child| i32::try_from(child.id()).ok()).unwrap_or(-1)
    }

    /// How many connections to Postgres its pool may hold.
    #[must_use]
    pub const fn pool_bound(&self) -> u64 {
        self.pool_bound
    }

    /// Its database role.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The administrator's URL of its database.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.settings.admin_url
    }

    /// How it is configured.
    #[must_use]
    pub const fn settings(&self) -> &ApiSettings {
        &self.settings
    }

    /// A connection to it.
    #[must_use]
    pub const fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// Ends it as its supervisor would: it writes what it has still to write.
    pub async fn stop(mut self) {
        if let Some(pid) = Pid::from_raw(self.pid()) {
            // It may have died; then there is nobody to tell.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.is_running() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        // Nothing is to be saved: it is measured, not used.
        self.kill();
        let _ = std::fs::remove_dir_all(self.folder());
    }
}
