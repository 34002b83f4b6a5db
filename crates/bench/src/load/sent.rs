//! What was sent, and when: the sequence that a floor is computed for.

use std::sync::OnceLock;
use std::time::Instant;

/// One request of a load, and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The product that it was about; 0: none.
    pub key: u32,
    /// Whether it changed the product.
    pub write: bool,
    /// Whether it was answered 2xx.
    pub ok: bool,
    /// When it was sent, in microseconds of [`now_us`].
    pub begun_us: u64,
    /// When it was answered.
    pub ended_us: u64,
}

/// Microseconds since this program first asked: times of several loads can be compared.
#[must_use]
pub fn now_us() -> u64 {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    let origin = *ORIGIN.get_or_init(Instant::now);
    u64::try_from(origin.elapsed().as_micros()).unwrap_or(u64::MAX)
}
