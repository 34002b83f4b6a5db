#![doc = include_str!("../README.md")]

mod exporters;
mod logs;
mod options;
#[cfg(target_os = "linux")]
mod process;
mod readings;
mod runtime;
mod views;

use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry::trace::TracerProvider;
use opentelemetry::{KeyValue, global};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
pub use prometheus::Registry;
use prometheus::{Encoder, TextEncoder};
use thiserror::Error;
use tokio::runtime::Handle;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

pub use options::{LogFormat, OtlpProtocol, TelemetryOptions};
pub use readings::{Buckets, Labels, Readings};

/// Spans worth exporting: the service's own, from lookup to SQL statement.
const TRACED: &str =
    "info,larder=debug,larder_postgres=debug,catalog_service=debug,catalog_api=debug";

/// Why telemetry could not be set up.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error("log_filter: {0}")]
    Filter(#[from] ParseError),
    /// The filter of exported logs cannot be read.
    #[error("otlp_log_filter: {0}")]
    ExportedFilter(#[source] ParseError),
    /// An exporter cannot be built, such as for an endpoint that is no URL.
    #[error("otlp_endpoint: {0}")]
    Exporter(String),
    /// Another subscriber or provider is installed in this process.
    #[error("telemetry is set up already: {0}")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// The telemetry of a process. Keep it until the end, and call [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    meters: SdkMeterProvider,
    exported: Option<Exported>,
}

/// What exists only where there is a receiver.
#[derive(Debug)]
struct Exported {
    tracers: SdkTracerProvider,
    loggers: SdkLoggerProvider,
}

impl Telemetry {
    /// Sets up logs, metrics and, where an OTLP endpoint is given, traces and the export of all.
    ///
    /// # Errors
    ///
    /// When an option cannot work. Not when nobody listens at the endpoint: what cannot be
    /// sent is dropped.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime, with an endpoint over gRPC.
    pub fn init(options: &TelemetryOptions) -> Result<Self, TelemetryError> {
        let registry = Registry::new();
        let prometheus = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .build()
            .map_err(|error| TelemetryError::Exporter(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name(options.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut meters = SdkMeterProvider::builder()
            .with_resource(resource.clone())
            .with_view(views::fine)
            .with_reader(prometheus);
        let mut exported = None;
        if let Some(endpoint) = &options.otlp_endpoint {
            let exporters = exporters::build(endpoint, options.otlp_protocol)?;
            let reader = opentelemetry_sdk::metrics::PeriodicReader::builder(exporters.metrics)
                .with_interval(options.export_interval)
                .build();
            meters = meters.with_reader(reader);
            let sampler =
                Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(options.sample_ratio)));
            let tracers = SdkTracerProvider::builder()
                .with_resource(resource.clone())
                .with_sampler(sampler)
                .with_batch_exporter(exporters.spans)
                .build();
            global::set_tracer_provider(tracers.clone());
            // A log is handed over to a thread of its own; where that is behind, it is dropped.
            let loggers = SdkLoggerProvider::builder()
                .with_resource(resource)
                .with_batch_exporter(exporters.logs)
                .build();
            exported = Some(Exported { tracers, loggers });
        }
        let meters = meters.build();
        global::set_meter_provider(meters.clone());
        #[cfg(target_os = "linux")]
        process::register(&meters.meter("larder"));
        if let Ok(runtime) = Handle::try_current() {
            runtime::register(&meters.meter("larder"), &runtime);
        }
        global::set_text_map_propagator(TraceContextPropagator::new());

        let logs = match options.log_format {
            LogFormat::Text => fmt::layer().with_writer(std::io::stderr).boxed(),
            LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().boxed(),
        };
        let logs = logs.with_filter(EnvFilter::try_new(&options.log_filter)?);
        // Without an endpoint there is no such layer, and spans cost a comparison each.
        let traces = exported.as_ref().map(|exported| {
            tracing_opentelemetry::layer()
                .with_tracer(exported.tracers.tracer("larder"))
                .with_filter(EnvFilter::new(TRACED))
        });
        let filter = EnvFilter::try_new(&options.otlp_log_filter);
        let filter = filter.map_err(TelemetryError::ExportedFilter)?;
        let sent = exported.as_ref().map(|exported| logs::layer(&exported.loggers, filter));
        tracing_subscriber::registry().with(logs).with(traces).with(sent).try_init()?;
        Ok(Self { registry, meters, exported })
    }

    /// Where instruments are made.
    #[must_use]
    pub fn meter(&self) -> Meter {
        self.meters.meter("larder")
    }

    /// The registry behind `/metrics`, to be read from elsewhere.
    #[must_use]
    pub fn registry(&self) -> Registry {
        self.registry.clone()
    }

    /// Whether spans, logs and metrics are exported.
    #[must_use]
    pub const fn is_tracing(&self) -> bool {
        self.exported.is_some()
    }

    /// Exports what is left. Blocks for as long as the receiver takes: call it off the
    /// asynchronous threads.
    pub fn shutdown(&self) {
        if let Some(Exported { tracers, loggers }) = &self.exported {
            if let Err(error) = tracers.shutdown() {
                eprintln!("some spans were not exported: {error}");
            }
            if let Err(error) = loggers.shutdown() {
                eprintln!("some logs were not exported: {error}");
            }
        }
        if let Err(error) = self.meters.shutdown() {
            eprintln!("some metrics were not exported: {error}");
        }
    }
}

/// Whether `filter` can be one of logs.
///
/// # Errors
///
/// Says what in it cannot be read.
pub fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
}

/// All metrics of `registry` in Prometheus's text format.
#[must_use]
pub fn prometheus(registry: &Registry) -> String {
    let mut text = Vec::new();
    TextEncoder::new()
        .encode(&registry.gather(), &mut text)
        .expect("metrics are written to memory");
    String::from_utf8(text).expect("the text format is UTF-8")
}
