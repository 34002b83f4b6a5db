//! What a setting is where nobody sets it. `larder.toml` says the same; a test compares the two.

use catalog_domain::View;

use super::settings::{
    CacheConfig, DatabaseConfig, NamespaceConfig, Namespaces, RedisConfig, ServerConfig,
    TelemetryConfig,
};

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
            client_request_timeout_ms: 5_000,
            client_disconnect_timeout_ms: 1_000,
            keep_alive_ms: 75_000,
            max_connections: 10_000,
            drain_ms: 0,
            shutdown_timeout_ms: 15_000,
            bench_routes: false,
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            mode: "development".to_owned(),
            admin_key: String::new(),
            key_memory_ms: 5_000,
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
            coalesce: "cluster".to_owned(),
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
            otlp_log_filter: "info".to_owned(),
            service_name: "catalog-api".to_owned(),
        }
    }
}
