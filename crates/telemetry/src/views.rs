//! How instruments are kept that others define.

use opentelemetry_sdk::metrics::{Aggregation, Instrument, Stream};

/// From 0.1 ms: most of a cache's answers would be in the first bucket of the convention, 5 ms. Every
/// bound of the convention is here, too.
const REQUEST_SECONDS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75,
    1.0, 2.5, 5.0, 7.5, 10.0,
];

/// Requests in buckets that tell a hit from a query.
pub(crate) fn fine(instrument: &Instrument) -> Option<Stream> {
    if instrument.name() != "http.server.request.duration" {
        return None;
    }
    let boundaries = REQUEST_SECONDS.to_vec();
    let aggregation = Aggregation::ExplicitBucketHistogram { boundaries, record_min_max: true };
    let stream = Stream::builder().with_aggregation(aggregation).build();
    Some(stream.expect("the bounds ascend"))
}
