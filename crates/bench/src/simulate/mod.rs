//! What a cache would have done with a recorded sequence.
//!
//! * [`Distances`]: LRU at every size, exactly, in one pass.
//! * [`LruCurve`]: the same of a sample of the keys, with the error that it estimates for itself.
//! * [`L1Plan`]: any policy at one size, in the very container that the service uses.
//! * [`Demand`]: the queries of a strategy, with a shared tier that holds everything.

mod distances;
mod l1;
mod parallel;
mod sample;
mod strategy;

pub use distances::Distances;
pub use l1::{Answers, L1Estimate, L1Plan, Sizes};
pub use parallel::in_parallel;
pub use sample::{Estimate, LruCurve, Sample};
pub use strategy::{BETA, Behaviour, Demand, JITTER, OnWrite, Refresh};

#[cfg(test)]
mod tests;
