//! Every setting, its default, and what is checked about it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use catalog_domain::View;
use catalog_service::{NamespaceSettings, Strategy, Tiers};
use larder::{
    L1Options, NamespaceOptions, RedisOptions, RedisOptionsError, TlsOptions, UnknownEviction,
};
use larder_postgres::{Database, DatabaseError, DatabaseOptions};
use larder_telemetry::TelemetryOptions;
use serde::{Deserialize, Serialize};

use super::{ConfigError, FeedConfig, VerifyConfig, WriteBehindConfig};

/// The relay reads, while the epochs are read anew.
const FEED_CONNECTIONS: u32 = 2;

/// A shorter key could be guessed.
const SHORTEST_KEY: usize = 16;

/// The whole configuration. `larder.toml` in the repository documents every key.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The HTTP server.
    pub server: ServerConfig,
    /// Postgres.
    pub database: DatabaseConfig,
    /// Redis Cluster.
    pub redis: RedisConfig,
    /// What all namespaces share.
    pub cache: CacheConfig,
    /// Each namespace.
    pub namespaces: Namespaces,
    /// Whether the cache's answers are compared with Postgres.
    pub verify: VerifyConfig,
    /// The change feed and the backplane.
    pub feed: FeedConfig,
    /// Writes that are acknowledged by a journal, and applied in batches.
    pub write_behind: WriteBehindConfig,
    /// Logs, metrics, traces.
    pub telemetry: TelemetryConfig,
}

/// The settings of each namespace, by its name.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Namespaces(BTreeMap<String, NamespaceConfig>);

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Address and port; port 0 takes a free one.
    pub bind: String,
    /// Worker threads; 0: one per core.
    pub workers: usize,
    /// The largest request body.
    pub max_body_bytes: usize,
    /// How long a request may take before it is answered 504.
    pub request_deadline_ms: u64,
    /// Whether `/bench/static` is served.
    pub bench_routes: bool,
    /// What `Authorization: Bearer …` must hold for administration; empty: none.
    pub admin_key: String,
}

/// `[database]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The application's role.
    pub url: String,
    /// The relay's role, for the change feed; empty: the application's.
    pub feed_url: String,
    /// The administrator, for `migrate`, `seed` and imports only.
    pub admin_url: String,
    /// Connections at most.
    pub max_connections: u32,
    /// How long a statement waits for a connection.
    pub acquire_timeout_ms: u64,
    /// How long a statement may run.
    pub statement_timeout_ms: u64,
}

/// `[redis]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Some nodes of the cluster: `redis://`, or `rediss://` for TLS.
    pub nodes: Vec<String>,
    /// A PEM file of the authorities to trust; empty: those of the system.
    pub ca_file: String,
    /// PEM files of this client's certificate and key, where the nodes ask for one; or empty.
    pub cert_file: String,
    /// See `cert_file`.
    pub key_file: String,
    /// Whether nothing is changed in Redis: for an ACL user who may only read.
    pub read_only: bool,
    /// Connections, each multiplexed.
    pub connections: usize,
    /// How long connecting may take.
    pub connect_timeout_ms: u64,
    /// How long one node may take.
    pub response_timeout_ms: u64,
    /// How long a command may take in all.
    pub overall_timeout_ms: u64,
}

/// `[cache]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CacheConfig {
    /// Keeps environments apart on one cluster.
    pub environment: String,
}

/// `[namespaces.<name>]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NamespaceConfig {
    /// `none`, `cache-aside`, `read-through`, `write-through`, `write-behind`, `refresh-ahead` or `ttl`.
    pub strategy: String,
    /// `none`, `l1`, `l2` or `l1+l2`.
    pub tiers: String,
    /// How long an entry is fresh; 0: unbounded.
    pub ttl_ms: u64,
    /// How long it is kept after that, as a fallback.
    pub stale_for_ms: u64,
    /// The part of the TTL that is taken off at random.
    pub jitter: f64,
    /// How long it is remembered that something is not there.
    pub negative_ttl_ms: u64,
    /// Whether a use renews the TTL.
    pub sliding: bool,
    /// Whether a stale value is served while it is reloaded.
    pub stale_while_revalidate: bool,
    /// Whether a stale value is served when the load fails.
    pub stale_on_error: bool,
    /// How long a load is waited for where a stale value is there; 0: to its end.
    pub soft_timeout_ms: u64,
    /// How long a stale value is served after a failed load without another try.
    pub error_backoff_ms: u64,
    /// How eagerly `refresh-ahead` reloads.
    pub refresh_beta: f64,
    /// After so long a load is cancelled.
    pub load_deadline_ms: u64,
    /// Life of a lease.
    pub lease_ms: u64,
    /// Payloads of this many bytes are compressed in L2; 0: none are.
    pub compress_above_bytes: usize,
    /// Bytes of the tier in this process.
    pub l1_capacity_bytes: usize,
    /// What goes first when it is full.
    pub l1_eviction: String,
    /// How long an entry is served from it before L2 is asked again.
    pub l1_ttl_ms: u64,
    /// Life of a tombstone.
    pub tombstone_ttl_ms: u64,
    /// Loads at the same time.
    pub max_concurrent_loads: usize,
    /// How long a load waits for its turn.
    pub load_wait_ms: u64,
}

/// `[telemetry]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetryConfig {
    /// Where an OTLP receiver listens; empty: nothing is exported.
    pub otlp_endpoint: String,
    /// `http/protobuf` or `grpc`.
    pub otlp_protocol: String,
    /// How often metrics are exported.
    pub export_interval_ms: u64,
    /// The part of traces kept.
    pub sample_ratio: f64,
    /// `text` or `json`.
    pub log_format: String,
    /// Which logs are written.
    pub log_filter: String,
    /// `service.name`.
    pub service_name: String,
}

impl Default for Namespaces {
    fn default() -> Self {
        let all = View::ALL.into_iter();
        Self(all.map(|view| (view.namespace().to_owned(), NamespaceConfig::default())).collect())
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".to_owned(),
            workers: 0,
            max_body_bytes: 65_536,
            request_deadline_ms: 10_000,
            bench_routes: false,
            admin_key: String::new(),
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: "postgres://larder_app@127.0.0.1:15432/larder".to_owned(),
            feed_url: String::new(),
            admin_url: "postgres://larder_admin@127.0.0.1:15432/larder".to_owned(),
            max_connections: 16,
            acquire_timeout_ms: 2_000,
            statement_timeout_ms: 5_000,
        }
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            nodes: (7_000..7_003).map(|port| format!("redis://127.0.0.1:{port}")).collect(),
            ca_file: String::new(),
            cert_file: String::new(),
            key_file: String::new(),
            read_only: false,
            connections: 2,
            connect_timeout_ms: 500,
            response_timeout_ms: 100,
            overall_timeout_ms: 250,
        }
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self { environment: "dev".to_owned() }
    }
}

impl Default for NamespaceConfig {
    fn default() -> Self {
        Self {
            strategy: "cache-aside".to_owned(),
            tiers: "l2".to_owned(),
            ttl_ms: 3_600_000,
            stale_for_ms: 0,
            jitter: 0.05,
            negative_ttl_ms: 10_000,
            sliding: false,
            stale_while_revalidate: false,
            stale_on_error: true,
            soft_timeout_ms: 0,
            error_backoff_ms: 1_000,
            refresh_beta: 1.0,
            load_deadline_ms: 5_000,
            lease_ms: 1_000,
            compress_above_bytes: 0,
            l1_capacity_bytes: 67_108_864,
            l1_eviction: "s3-fifo".to_owned(),
            l1_ttl_ms: 60_000,
            tombstone_ttl_ms: 60_000,
            max_concurrent_loads: 16,
            load_wait_ms: 1_000,
        }
    }
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            otlp_endpoint: String::new(),
            otlp_protocol: "http/protobuf".to_owned(),
            export_interval_ms: 10_000,
            sample_ratio: 1.0,
            log_format: "text".to_owned(),
            log_filter: "info".to_owned(),
            service_name: "catalog-api".to_owned(),
        }
    }
}

impl Config {
    /// Where to listen.
    ///
    /// # Errors
    ///
    /// When `server.bind` is no address.
    pub fn address(&self) -> Result<SocketAddr, ConfigError> {
        let bind = &self.server.bind;
        bind.parse().map_err(|_| {
            ConfigError::value("server.bind", "must be an IP address and a port: 127.0.0.1:8080")
        })
    }

    /// How to reach Postgres as the application.
    #[must_use]
    pub fn database_options(&self) -> DatabaseOptions {
        let database = &self.database;
        DatabaseOptions {
            url: database.url.clone(),
            max_connections: database.max_connections,
            acquire_timeout: Duration::from_millis(database.acquire_timeout_ms),
            statement_timeout: Duration::from_millis(database.statement_timeout_ms),
            application_name: self.telemetry.service_name.clone(),
            // The service publishes what it writes.
            doorbell: false,
        }
    }

    /// How to reach Postgres as the relay; `None`: as the application.
    #[must_use]
    pub fn feed_database_options(&self) -> Option<DatabaseOptions> {
        let url = &self.database.feed_url;
        (!url.is_empty()).then(|| DatabaseOptions {
            url: url.clone(),
            max_connections: FEED_CONNECTIONS,
            application_name: format!("{}-feed", self.telemetry.service_name),
            ..self.database_options()
        })
    }

    /// How to reach Redis.
    ///
    /// # Errors
    ///
    /// When a file with a certificate or key cannot be read.
    pub fn redis_options(&self) -> Result<RedisOptions, ConfigError> {
        let redis = &self.redis;
        let read = |key: &str, file: &str| -> Result<Option<Vec<u8>>, ConfigError> {
            let unreadable = |error| ConfigError::value(key, format!("{file}: {error}"));
            (!file.is_empty()).then(|| std::fs::read(file).map_err(unreadable)).transpose()
        };
        let cert = read("redis.cert_file", &redis.cert_file)?;
        let key = read("redis.key_file", &redis.key_file)?;
        if cert.is_some() != key.is_some() {
            let reason = "goes with redis.key_file: set both, or neither".to_owned();
            return Err(ConfigError::value("redis.cert_file", reason));
        }
        let authorities = read("redis.ca_file", &redis.ca_file)?;
        Ok(RedisOptions {
            tls: TlsOptions { authorities, client: cert.zip(key) },
            read_only: redis.read_only,
            connections: redis.connections,
            connect_timeout: Duration::from_millis(redis.connect_timeout_ms),
            response_timeout: Duration::from_millis(redis.response_timeout_ms),
            overall_timeout: Duration::from_millis(redis.overall_timeout_ms),
            ..RedisOptions::new(redis.nodes.clone())
        })
    }

    /// How telemetry is set up.
    ///
    /// # Errors
    ///
    /// Names the key whose value is none of the known ones.
    pub fn telemetry_options(&self) -> Result<TelemetryOptions, ConfigError> {
        let telemetry = &self.telemetry;
        let endpoint = &telemetry.otlp_endpoint;
        let at = |key: &'static str| move |reason: String| ConfigError::value(key, reason);
        if !(0.0..=1.0).contains(&telemetry.sample_ratio) {
            return Err(ConfigError::value("telemetry.sample_ratio", "must be from 0 to 1"));
        }
        if telemetry.export_interval_ms == 0 {
            return Err(ConfigError::value("telemetry.export_interval_ms", "must be at least 1"));
        }
        Ok(TelemetryOptions {
            service_name: telemetry.service_name.clone(),
            otlp_endpoint: (!endpoint.is_empty()).then(|| endpoint.clone()),
            otlp_protocol: telemetry
                .otlp_protocol
                .parse()
                .map_err(at("telemetry.otlp_protocol"))?,
            export_interval: Duration::from_millis(telemetry.export_interval_ms),
            sample_ratio: telemetry.sample_ratio,
            log_format: telemetry.log_format.parse().map_err(at("telemetry.log_format"))?,
            log_filter: telemetry.log_filter.clone(),
        })
    }

    /// The settings of a namespace.
    ///
    /// # Errors
    ///
    /// Names the key that cannot work.
    pub fn namespace(&self, view: View) -> Result<NamespaceSettings, ConfigError> {
        let name = view.namespace();
        let key = |field: &str| format!("namespaces.{name}.{field}");
        let config = &self.namespaces.0[name];
        let strategy: Strategy = config
            .strategy
            .parse()
            .map_err(|error| ConfigError::value(key("strategy"), format!("{error}")))?;
        let tiers: Tiers = config
            .tiers
            .parse()
            .map_err(|error| ConfigError::value(key("tiers"), format!("{error}")))?;
        let l1 = L1Options {
            capacity: config.l1_capacity_bytes,
            eviction: config.l1_eviction.parse().map_err(|error: UnknownEviction| {
                ConfigError::value(key("l1_eviction"), error.to_string())
            })?,
            ttl: Duration::from_millis(config.l1_ttl_ms),
        };
        let settings = NamespaceSettings { strategy, tiers, options: config.options(), l1 };
        settings
            .validate()
            .map_err(|(option, reason)| ConfigError::value(key(&key_of(option)), reason))?;
        let longest = self.database.acquire_timeout_ms + self.database.statement_timeout_ms;
        if config.tombstone_ttl_ms <= longest {
            let reason = format!(
                "must be more than {longest}, the longest load (database.acquire_timeout_ms + \
                 database.statement_timeout_ms): a load could outlive the tombstone that guards \
                 against it"
            );
            return Err(ConfigError::value(key("tombstone_ttl_ms"), reason));
        }
        Ok(settings)
    }

    /// The configuration as it may be shown: passwords are masked.
    #[must_use]
    pub fn masked(&self) -> Self {
        let mut shown = self.clone();
        shown.database.url = mask(&self.database.url);
        shown.database.admin_url = mask(&self.database.admin_url);
        shown.redis.nodes = self.redis.nodes.iter().map(|node| mask(node)).collect();
        shown.telemetry.otlp_endpoint = mask(&self.telemetry.otlp_endpoint);
        if !self.server.admin_key.is_empty() {
            shown.server.admin_key = "***".to_owned();
        }
        shown
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        self.address()?;
        self.telemetry_options()?;
        self.verify.validate()?;
        self.feed.options()?;
        self.write_behind.options()?;
        for view in View::ALL {
            self.namespace(view)?;
        }
        if self.cache.environment.trim().is_empty() {
            return Err(ConfigError::value("cache.environment", "must not be empty"));
        }
        for (key, value) in [
            ("server.max_body_bytes", self.server.max_body_bytes as u64),
            ("server.request_deadline_ms", self.server.request_deadline_ms),
        ] {
            if value == 0 {
                return Err(ConfigError::value(key, "must be at least 1"));
            }
        }
        if (1..SHORTEST_KEY).contains(&self.server.admin_key.len()) {
            let reason = format!("must have at least {SHORTEST_KEY} characters, or none");
            return Err(ConfigError::value("server.admin_key", reason));
        }
        Database::check(&self.database_options()).map_err(|error| match error {
            DatabaseError::Url(error) => ConfigError::value("database.url", error.to_string()),
            DatabaseError::Option { option, reason } => refused("database", option, reason),
        })?;
        self.redis_options()?.check().map_err(|error| match error {
            RedisOptionsError::Nodes(error) => ConfigError::value("redis.nodes", error.to_string()),
            RedisOptionsError::Option { option: "tls" | "tls.authorities", reason } => {
                ConfigError::value("redis.ca_file", reason)
            }
            RedisOptionsError::Option { option, reason } => refused("redis", option, reason),
        })
    }
}

/// An option that a library refused, by its key here, where times are in milliseconds.
fn refused(section: &str, option: &str, reason: &str) -> ConfigError {
    let unit = if option.ends_with("timeout") { "_ms" } else { "" };
    ConfigError::value(format!("{section}.{option}{unit}"), reason)
}

/// The key under which a namespace's option is set here: with its unit.
fn key_of(option: &str) -> String {
    let option = option.replace('.', "_");
    let unit = match option.as_str() {
        "l1_capacity" | "compress_above" => "_bytes",
        "strategy" | "tiers" | "jitter" | "refresh_beta" | "sliding" | "max_concurrent_loads" => "",
        _ => "_ms",
    };
    option + unit
}

impl NamespaceConfig {
    fn options(&self) -> NamespaceOptions {
        let millis = Duration::from_millis;
        NamespaceOptions {
            ttl: (self.ttl_ms > 0).then(|| millis(self.ttl_ms)),
            stale_for: millis(self.stale_for_ms),
            jitter: self.jitter,
            negative_ttl: millis(self.negative_ttl_ms),
            sliding: self.sliding,
            stale_while_revalidate: self.stale_while_revalidate,
            stale_on_error: self.stale_on_error,
            soft_timeout: (self.soft_timeout_ms > 0).then(|| millis(self.soft_timeout_ms)),
            error_backoff: millis(self.error_backoff_ms),
            refresh_beta: self.refresh_beta,
            load_deadline: millis(self.load_deadline_ms),
            lease: millis(self.lease_ms),
            compress_above: (self.compress_above_bytes > 0).then_some(self.compress_above_bytes),
            tombstone_ttl: millis(self.tombstone_ttl_ms),
            max_concurrent_loads: self.max_concurrent_loads,
            load_wait: millis(self.load_wait_ms),
            ..NamespaceOptions::default()
        }
    }
}

/// `scheme://user:***@host`.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let Some((user, host)) = rest.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((name, _)) => format!("{scheme}://{name}:***@{host}"),
        None => url.to_owned(),
    }
}
