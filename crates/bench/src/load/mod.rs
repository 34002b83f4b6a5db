//! Sending requests: at the pace of a schedule, or as fast as answers come.

mod client;
mod closed;
mod in_order;
mod keys;
mod limits;
mod loops;
mod open;
mod schedule;
mod sent;
mod targets;

pub use client::{Answer, Client, Request, key};
pub use closed::{ClosedLoop, closed_loop, closed_loop_keeping};
pub use in_order::{in_order, in_order_counted};
pub use keys::Keys;
pub use limits::allow_connections;
pub use loops::{LoopsCompared, compare_loops};
pub(crate) use open::pace;
pub use open::{OpenLoop, open_loop};
pub use schedule::{poisson, recorded, steady};
pub use sent::{Keep, Sent, now_us};
pub use targets::{Spread, Targets};

use hdrhistogram::Histogram;

/// What a load met with.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Requests answered, whatever the answer.
    pub answered: u64,
    /// Of those, answers from the cache, by their `Cache-Status`.
    pub hits: u64,
    /// Of those, values past their time.
    pub stale: u64,
    /// Answers other than 2xx, requests that failed, and requests without an answer.
    pub errors: u64,
    /// Of those, 503 with `Retry-After`: shed on purpose.
    pub shed: u64,
    /// Latency in microseconds.
    pub latency: Histogram<u64>,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// Every request that was answered, in no order; of a closed loop those that it was to [`Keep`].
    pub sent: Vec<Sent>,
}

impl Outcome {
    pub(crate) fn empty() -> Self {
        Self {
            answered: 0,
            hits: 0,
            stale: 0,
            errors: 0,
            shed: 0,
            latency: histogram(),
            seconds: 0.0,
            sent: Vec::new(),
        }
    }

    /// Takes in what another worker met with.
    pub(crate) fn merge(&mut self, other: Self) {
        self.answered += other.answered;
        self.hits += other.hits;
        self.stale += other.stale;
        self.errors += other.errors;
        self.shed += other.shed;
        self.latency.add(&other.latency).expect("all histograms have the same bounds");
        self.sent.extend(other.sent);
    }

    /// Takes in an answer to `request`, which was sent at `begun_us` and took `micros`, from when it
    /// was due.
    pub(crate) fn note(&mut self, request: &Request, answer: &Answer, begun_us: u64, micros: u64) {
        self.sent.push(Sent::of(request, answer, begun_us));
        self.count(answer, micros);
    }

    /// Takes in an answer that took `micros`, and nothing of when it was.
    pub(crate) fn count(&mut self, answer: &Answer, micros: u64) {
        self.answered += 1;
        self.hits += u64::from(answer.hit);
        self.stale += u64::from(answer.stale);
        self.errors += u64::from(!answer.ok);
        self.shed += u64::from(answer.shed);
        self.latency.saturating_record(micros);
    }

    /// Takes in a request that was given up `micros` after it was due.
    pub(crate) fn unanswered(&mut self, micros: u64) {
        self.errors += 1;
        self.latency.saturating_record(micros);
    }

    /// Answers in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

/// 1 µs to 2 minutes, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("the bounds are valid")
}
