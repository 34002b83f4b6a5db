//! The settings as the options of the libraries that they are meant for.

use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::Uri;
use catalog_domain::View;
use catalog_service::{NamespaceSettings, Strategy, Tiers};
use larder::{
    L1Options, NamespaceOptions, RedisOptions, ReplicatedOptions, TlsOptions, UnknownCoalesce,
    UnknownEviction,
};
use larder_postgres::DatabaseOptions;
use larder_telemetry::{TelemetryOptions, check_filter};

use super::ConfigError;
use super::settings::{Config, NamespaceConfig};

/// The relay reads, while the epochs are read anew, while a process says that it is there, and while somebody who
/// looks at the dashboard asks what all of them say.
const FEED_CONNECTIONS: u32 = 4;

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

    /// Whether nobody is let in whom the configuration does not name.
    ///
    /// # Errors
    ///
    /// When `server.mode` is none of the known ones.
    pub fn is_production(&self) -> Result<bool, ConfigError> {
        match self.server.mode.as_str() {
            "production" => Ok(true),
            "development" => Ok(false),
            other => {
                let reason = format!("unknown mode {other:?}: use development or production");
                Err(ConfigError::value("server.mode", reason))
            }
        }
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

    /// Where the mode `replicated` of write-behind keeps what it acknowledges.
    ///
    /// # Errors
    ///
    /// When a file with a certificate or key cannot be read.
    pub fn replicated_options(&self) -> Result<ReplicatedOptions, ConfigError> {
        Ok(ReplicatedOptions {
            redis: self.redis_options()?,
            environment: self.cache.environment.clone(),
            min_replicas: self.write_behind.min_replicas,
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
        if !endpoint.is_empty() && endpoint.parse::<Uri>().is_err() {
            let reason = "must be a URL such as http://127.0.0.1:4318";
            return Err(ConfigError::value("telemetry.otlp_endpoint", reason));
        }
        if endpoint.contains('@') {
            // The HTTP client would not send them, but log them with each connection.
            let reason = "must hold no user and no password: OTEL_EXPORTER_OTLP_HEADERS can";
            return Err(ConfigError::value("telemetry.otlp_endpoint", reason));
        }
        check_filter(&telemetry.log_filter).map_err(at("telemetry.log_filter"))?;
        check_filter(&telemetry.otlp_log_filter).map_err(at("telemetry.otlp_log_filter"))?;
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
            otlp_log_filter: telemetry.otlp_log_filter.clone(),
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
        let coalesce = config.coalesce.parse().map_err(|error: UnknownCoalesce| {
            ConfigError::value(key("coalesce"), error.to_string())
        })?;
        let options = NamespaceOptions { coalesce, ..config.options() };
        let settings = NamespaceSettings { strategy, tiers, options, l1 };
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
