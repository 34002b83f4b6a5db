//! Every setting, and what it means; `defaults.rs` says what it is where nobody sets it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{FeedConfig, VerifyConfig, WriteBehindConfig};

/// The whole configuration. `larder.toml` in the repository documents every key.
#[derive(Clone, Default, Deserialize, Serialize)]
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
pub struct Namespaces(pub(super) BTreeMap<String, NamespaceConfig>);

/// `[server]`
#[derive(Clone, Deserialize, Serialize)]
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
    /// How long a client may take to send a request's head, and again for its body.
    pub client_request_timeout_ms: u64,
    /// How long a connection that is closed may take to end.
    pub client_disconnect_timeout_ms: u64,
    /// How long a connection is kept that asks nothing.
    pub keep_alive_ms: u64,
    /// Connections at the same time; more wait until one ends.
    pub max_connections: usize,
    /// How long a process that is told to end says that it is not ready before it stops listening.
    pub drain_ms: u64,
    /// How long it takes at most after that: two thirds for requests under way, one for the journal.
    pub shutdown_timeout_ms: u64,
    /// Whether `/bench/static` is served.
    pub bench_routes: bool,
    /// A PEM file of the certificate (and those that signed it) to listen with by TLS; empty: plain.
    pub tls_cert_file: String,
    /// A PEM file of its key.
    pub tls_key_file: String,
    /// `development` or `production`.
    pub mode: String,
    /// A key that may administer, beside those in the database; empty: none.
    pub admin_key: String,
    /// How long it is taken for granted that a key has not been revoked.
    pub key_memory_ms: u64,
}

/// `[database]`
#[derive(Clone, Deserialize, Serialize)]
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
#[derive(Clone, Deserialize, Serialize)]
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
    /// Of those who want to load one product, who does: `request`, `process` or `cluster`.
    pub coalesce: String,
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
#[derive(Clone, Deserialize, Serialize)]
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
    /// Which logs are exported.
    pub otlp_log_filter: String,
    /// `service.name`.
    pub service_name: String,
}
