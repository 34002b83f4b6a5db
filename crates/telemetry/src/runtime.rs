//! What the Tokio runtime has to do. No convention names this: the names are those of Tokio's methods.

use opentelemetry::metrics::Meter;
use tokio::runtime::Handle;

/// Of the runtime behind `runtime`, and of no other.
pub(crate) fn register(meter: &Meter, runtime: &Handle) {
    let metrics = runtime.metrics();
    gauge(meter, "tokio.runtime.workers", "{thread}", "Threads that run tasks", move || {
        Some(metrics.num_workers() as u64)
    });
    let metrics = runtime.metrics();
    gauge(meter, "tokio.runtime.alive_tasks", "{task}", "Tasks that have not ended", move || {
        Some(metrics.num_alive_tasks() as u64)
    });
    let metrics = runtime.metrics();
    let description = "Tasks that wait for any of the threads";
    gauge(meter, "tokio.runtime.global_queue.depth", "{task}", description, move || {
        Some(metrics.global_queue_depth() as u64)
    });
}

/// A number that goes up and down, read when it is asked for; left out where it cannot be read.
pub(crate) fn gauge(
    meter: &Meter,
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    read: impl Fn() -> Option<u64> + Send + Sync + 'static,
) {
    meter
        .i64_observable_up_down_counter(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| {
            if let Some(value) = read().and_then(|value| i64::try_from(value).ok()) {
                observer.observe(value, &[]);
            }
        })
        .build();
}

#[cfg(test)]
mod tests {
    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::Registry;

    use super::*;
    use crate::Readings;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn tasks_are_counted_while_they_live() {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(reader.expect("a reader")).build();
        register(&meters.meter("test"), &Handle::current());
        let read = |name: &str| Readings::of(&registry).sum(name, |_| true);

        assert_eq!(read("tokio_runtime_workers"), 3.0);
        let before = read("tokio_runtime_alive_tasks");
        let tasks: Vec<_> = (0..7).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        assert_eq!(read("tokio_runtime_alive_tasks"), before + 7.0);
        for task in tasks {
            task.abort();
            assert!(task.await.is_err());
        }
        // A task is let go of after whoever waits for it has been told.
        while read("tokio_runtime_alive_tasks") > before {
            tokio::task::yield_now().await;
        }
        let names: Vec<_> = registry.gather().iter().map(|it| it.name().to_owned()).collect();
        assert!(names.iter().any(|name| name == "tokio_runtime_global_queue_depth"), "{names:?}");
    }
}
