//! What an entry of L1 costs in memory besides its key and value.
//!
//! `cargo bench -p larder-benches --bench memory` prints a table: bytes that the allocator gave
//! away, per entry, against what the tier reckons.

use std::alloc::System;
use std::sync::Arc;

use bytes::Bytes;
use larder::{
    Cache, Eviction, L1Options, L2, Loaded, MemoryTier, Metrics, NamespaceOptions, Version,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ENTRIES: u64 = 100_000;
const PAYLOAD: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    println!("| eviction | bytes per entry besides key and value | as reckoned |");
    println!("| --- | --- | --- |");
    for eviction in Eviction::ALL {
        let options = NamespaceOptions {
            l1: Some(L1Options { capacity: 1 << 30, eviction, ..L1Options::default() }),
            l2: false,
            ..NamespaceOptions::default()
        };
        let metrics = Metrics::default();
        let l2 = Arc::new(L2::Memory(MemoryTier::default()));
        let cache: Cache<u64, Bytes> =
            Cache::new("bench", "memory", options, l2, &metrics).expect("the options are valid");
        let before = Region::new(ALLOCATOR);
        for key in 0..ENTRIES {
            let load = async || {
                let value = Bytes::from(vec![7; PAYLOAD].into_boxed_slice());
                Ok::<_, std::io::Error>(Loaded::found(Version::new(1, 1), value))
            };
            let lookup = cache.get_with(&key, load).await;
            assert!(lookup.is_ok_and(|lookup| lookup.stored));
        }
        let change = before.change();
        let held = change.bytes_allocated as f64 - change.bytes_deallocated as f64;
        let stats = metrics.stats()["memory"];
        assert_eq!(stats.l1_entries, ENTRIES);
        let own = (PAYLOAD + size_of::<u64>()) as f64;
        let each = |bytes: f64| bytes / ENTRIES as f64 - own;
        println!("| {eviction} | {:.0} | {:.0} |", each(held), each(stats.l1_bytes as f64));
    }
}
