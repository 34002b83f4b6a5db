//! The cache through its public face: on the in-memory twin, and on a real Redis Cluster
//! where the servers are installed.

mod access;
mod allocation;
mod backplane;
mod coherence;
mod evictions;
mod feed;
mod lane;
mod lifetimes;
mod many;
mod memory;
mod outage;
mod proxy;
mod reads;
mod replicated;
mod session;
mod support;
mod tags;

/// Counts what the tests allocate.
#[global_allocator]
static ALLOCATOR: &stats_alloc::StatsAlloc<std::alloc::System> = &stats_alloc::INSTRUMENTED_SYSTEM;
