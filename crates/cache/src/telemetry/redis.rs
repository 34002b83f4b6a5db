//! What is counted of Redis as a whole.

use std::sync::Arc;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use crate::tier::L2;

/// Exports what `l2` counts, for as long as it is there.
pub(super) fn register(meter: &Meter, l2: &Arc<L2>) {
    meter
        .u64_observable_gauge("larder.redis.breakers_open")
        .with_unit("{shard}")
        .with_description("Shards that are not asked, because nothing gets through to them.")
        .with_callback(of(l2, |l2, told| told.observe(l2.breakers_open() as u64, &[])))
        .build();
    meter
        .u64_observable_counter("larder.redis.round_trips")
        .with_unit("{command}")
        .with_description("Commands sent to Redis: a pipeline or a script call is one.")
        .with_callback(of(l2, |l2, told| told.observe(l2.round_trips(), &[])))
        .build();
    meter
        .u64_observable_counter("larder.redis.evictions")
        .with_unit("{key}")
        .with_description(
            "Keys that each primary has evicted for want of memory since this process first asked \
             it; every process counts the same ones.",
        )
        .with_callback(of(l2, |l2, told| {
            for (node, count) in l2.evictions() {
                told.observe(count, &[KeyValue::new("larder.node", node)]);
            }
        }))
        .build();
}

/// What an instrument's callback does: `read` of `l2`, while that is there.
fn of(
    l2: &Arc<L2>,
    read: impl Fn(&L2, &dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static {
    let l2 = Arc::downgrade(l2);
    move |observer| {
        if let Some(l2) = l2.upgrade() {
            read(&l2, observer);
        }
    }
}
