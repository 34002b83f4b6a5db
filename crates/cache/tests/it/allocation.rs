//! What a hit in this process allocates: nothing.

use std::time::Duration;

use larder::{Coherence, CoherenceOptions, L1Options, NamespaceOptions, Tier};
use stats_alloc::Region;

use crate::ALLOCATOR;
use crate::support::{Origin, Process, alone, get, memory, never, v, within};

const HITS: usize = 1_001;
const SOON: Duration = Duration::from_secs(2);

fn lasting() -> NamespaceOptions {
    let hour = Duration::from_secs(3_600);
    NamespaceOptions {
        ttl: Some(hour),
        refresh_beta: 1.0,
        l1: Some(L1Options { ttl: hour, ..L1Options::default() }),
        ..NamespaceOptions::default()
    }
}

/// Loads `key`, then takes hits of it that must allocate nothing.
async fn hits_allocate_nothing(process: &Process, key: &String) {
    get(process, key, &Origin::default()).await.expect("the origin answers");
    let mut allocations = Vec::with_capacity(HITS);
    for _ in 0..HITS {
        let region = Region::new(ALLOCATOR);
        let lookup = process.get_with(key, never).await;
        allocations.push(region.change().allocations);
        assert_eq!(lookup.expect("a hit").tier, Tier::L1);
    }
    // Other tests may run beside this one: they are counted in a few of the hits, not in half.
    allocations.sort_unstable();
    assert_eq!(allocations[HITS / 2], 0);
}

#[tokio::test]
async fn an_l1_hit_allocates_nothing() {
    let process = alone(lasting());
    let key = "a".to_owned();
    hits_allocate_nothing(&process, &key).await;

    // That the counter counts: a load does allocate.
    process.invalidate(&key, v(1)).await;
    let (region, origin) = (Region::new(ALLOCATOR), Origin::default());
    origin.write();
    get(&process, &key, &origin).await.expect("the origin answers");
    assert!(region.change().allocations > 0);
}

#[tokio::test]
async fn an_l1_hit_of_a_coherent_cache_allocates_nothing_either() {
    let l2 = memory();
    let coherence = Coherence::between_processes("alone", &l2, &CoherenceOptions::default());
    let process = Process::new(&l2, "alone", lasting()).coherent(&coherence);
    within(SOON, "the backplane is heard", async || coherence.is_proven()).await;
    hits_allocate_nothing(&process, &"a".to_owned()).await;
}
