//! What can be set.

use std::str::FromStr;
use std::time::Duration;

/// How telemetry leaves the process.
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    /// `service.name` of everything exported.
    pub service_name: String,
    /// Where an OTLP receiver listens, such as `http://127.0.0.1:4318` (HTTP) or
    /// `http://127.0.0.1:4317` (gRPC). Without one nothing is exported, and metrics are only
    /// read at `/metrics`.
    pub otlp_endpoint: Option<String>,
    /// How it is spoken to.
    pub otlp_protocol: OtlpProtocol,
    /// How often metrics are exported.
    pub export_interval: Duration,
    /// The part of traces kept, 0 to 1, where the caller has not decided already.
    pub sample_ratio: f64,
    /// How logs are written.
    pub log_format: LogFormat,
    /// Which logs are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log_filter: String,
    /// Which logs are exported, in the same syntax; never those of what carries the export.
    pub otlp_log_filter: String,
}

/// The two transports of OTLP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `http/protobuf`.
    #[default]
    Http,
    /// `grpc`.
    Grpc,
}

/// How logs are written to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for TelemetryOptions {
    /// Logs from `info` on standard error, metrics to be scraped, nothing exported.
    fn default() -> Self {
        Self {
            service_name: "larder".to_owned(),
            otlp_endpoint: None,
            otlp_protocol: OtlpProtocol::default(),
            export_interval: Duration::from_secs(10),
            sample_ratio: 1.0,
            log_format: LogFormat::default(),
            log_filter: "info".to_owned(),
            otlp_log_filter: "info".to_owned(),
        }
    }
}

impl FromStr for OtlpProtocol {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "http/protobuf" => Ok(Self::Http),
            "grpc" => Ok(Self::Grpc),
            _ => Err(format!("unknown protocol {name:?}: use http/protobuf or grpc")),
        }
    }
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(format!("unknown log format {name:?}: use text or json")),
        }
    }
}
