//! Logs as they are exported.

use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

/// What carries the export, and what that is built on. Were a line of theirs exported, carrying it
/// would make the next one.
const CARRIERS: [&str; 10] = [
    "h2",
    "hyper",
    "mio",
    "opentelemetry",
    "reqwest",
    "rustls",
    "tokio_util",
    "tonic",
    "tower",
    "want",
];

/// Hands what passes `filter` to `provider`. A log gets the ids of the span that is active where it
/// is written: a request's, or one of `tracing`'s within it, which tracing-opentelemetry activates.
pub(crate) fn layer<S>(provider: &SdkLoggerProvider, filter: EnvFilter) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
{
    // Without the hint, every level would count as wanted.
    let others =
        filter_fn(|metadata| !carries(metadata.target())).with_max_level_hint(LevelFilter::TRACE);
    OpenTelemetryTracingBridge::new(provider).with_filter(filter.and(others))
}

/// Whether `target` is a carrier, one of its modules, or one of its family (`hyper_util`).
fn carries(target: &str) -> bool {
    CARRIERS.iter().any(|carrier| {
        let rest = target.strip_prefix(carrier);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '_', '-']))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use opentelemetry::trace::{SpanId, TraceContextExt, TracerProvider};
    use opentelemetry::{Context, InstrumentationScope};
    use opentelemetry_sdk::error::OTelSdkResult;
    use opentelemetry_sdk::logs::{LogProcessor, SdkLogRecord};
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Where a log was written, and in which span.
    type Written = (String, Option<SpanId>);

    #[derive(Clone, Debug, Default)]
    struct Kept(Arc<Mutex<Vec<Written>>>);

    impl LogProcessor for Kept {
        fn emit(&self, record: &mut SdkLogRecord, _: &InstrumentationScope) {
            let target = record.target().map_or_else(String::new, ToString::to_string);
            let span = record.trace_context().map(|context| context.span_id);
            self.0.lock().expect("no panic").push((target, span));
        }

        fn force_flush(&self) -> OTelSdkResult {
            Ok(())
        }

        fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
            Ok(())
        }
    }

    #[test]
    fn a_log_has_the_span_of_tracing_in_which_it_was_written() {
        let kept = Kept::default();
        let loggers = SdkLoggerProvider::builder().with_log_processor(kept.clone()).build();
        let tracers = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(tracers.tracer("test")))
            .with(layer(&loggers, EnvFilter::new("info,h2=trace")));
        let active = || Context::current().span().span_context().span_id();
        let (outer, inner) = tracing::subscriber::with_default(subscriber, || {
            tracing::info!(target: "none", "outside");
            tracing::info_span!("outer").in_scope(|| {
                tracing::info!(target: "outer", "outside of the inner one");
                let inner = tracing::info_span!("inner").in_scope(|| {
                    tracing::info!(target: "inner", "inside");
                    tracing::debug!(target: "inner", "not wanted");
                    tracing::trace!(target: "h2::codec", "what carries is not carried");
                    active()
                });
                (active(), inner)
            })
        });
        assert!(outer != inner && outer != SpanId::INVALID && inner != SpanId::INVALID);
        let expected = [("none", None), ("outer", Some(outer)), ("inner", Some(inner))];
        let expected = expected.map(|(target, span)| (target.to_owned(), span));
        assert_eq!(*kept.0.lock().expect("no panic"), expected);
    }

    #[test]
    fn carriers_are_told_by_their_crates() {
        for target in [
            "h2",
            "h2::codec::framed_read",
            "hyper_util::client",
            "opentelemetry-otlp",
            "opentelemetry_sdk",
        ] {
            assert!(carries(target), "{target}");
        }
        for target in ["larder::redis", "h2o", "towering", "catalog_api::hyper", ""] {
            assert!(!carries(target), "{target}");
        }
    }
}
