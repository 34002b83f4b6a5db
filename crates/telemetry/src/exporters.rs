//! OTLP, over HTTP or gRPC.

use opentelemetry_otlp::{LogExporter, MetricExporter, SpanExporter, WithExportConfig};

use crate::TelemetryError;
use crate::options::OtlpProtocol;

pub(crate) struct Exporters {
    pub(crate) spans: SpanExporter,
    pub(crate) metrics: MetricExporter,
    pub(crate) logs: LogExporter,
}

pub(crate) fn build(endpoint: &str, protocol: OtlpProtocol) -> Result<Exporters, TelemetryError> {
    let built = match protocol {
        // tonic wants the runtime it is built in.
        OtlpProtocol::Grpc => grpc(endpoint),
        // The blocking HTTP client must not be built on an asynchronous thread.
        OtlpProtocol::Http => std::thread::scope(|scope| {
            let built = scope.spawn(|| http(endpoint)).join();
            built.unwrap_or_else(|_| Err("the HTTP client panicked".to_owned()))
        }),
    };
    // The endpoint is not repeated: it may hold a password.
    built.map_err(|reason| TelemetryError::Exporter(reason.replace(endpoint, "…")))
}

fn grpc(endpoint: &str) -> Result<Exporters, String> {
    let spans = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let metrics = MetricExporter::builder().with_tonic().with_endpoint(endpoint).build();
    let logs = LogExporter::builder().with_tonic().with_endpoint(endpoint).build();
    all(spans, metrics, logs)
}

fn http(endpoint: &str) -> Result<Exporters, String> {
    let base = endpoint.trim_end_matches('/');
    let at = |signal| format!("{base}/v1/{signal}");
    let spans = SpanExporter::builder().with_http().with_endpoint(at("traces")).build();
    let metrics = MetricExporter::builder().with_http().with_endpoint(at("metrics")).build();
    let logs = LogExporter::builder().with_http().with_endpoint(at("logs")).build();
    all(spans, metrics, logs)
}

fn all<E: std::fmt::Display>(
    spans: Result<SpanExporter, E>,
    metrics: Result<MetricExporter, E>,
    logs: Result<LogExporter, E>,
) -> Result<Exporters, String> {
    let fail = |error: E| error.to_string();
    Ok(Exporters {
        spans: spans.map_err(fail)?,
        metrics: metrics.map_err(fail)?,
        logs: logs.map_err(fail)?,
    })
}
