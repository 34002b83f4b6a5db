//! What a caller gets who has seen a version.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder::{CallOptions, GetError, L1Options, Lookup, NamespaceOptions, Tier, Version};
use tokio::time::{sleep, timeout};

use crate::support::{Origin, Process, alone, bytes, get, memory, never, v};

const SECOND: Duration = Duration::from_secs(1);

fn both_tiers() -> NamespaceOptions {
    let l1 = L1Options { ttl: 600 * SECOND, ..L1Options::default() };
    NamespaceOptions { l1: Some(l1), ..NamespaceOptions::default() }
}

async fn not_older(
    process: &Process,
    than: Version,
    origin: &Origin,
) -> Result<Lookup<Bytes>, GetError> {
    let call = CallOptions { min_version: than, ..CallOptions::default() };
    process.get_with_by(&"a".to_owned(), &call, || origin.clone().load()).await
}

#[tokio::test(start_paused = true)]
async fn a_load_that_began_before_the_version_is_no_answer_wherever_it_runs() {
    for here in [true, false] {
        let l2 = memory();
        let [writer, reader] = [(); 2].map(|()| Process::new(&l2, "session", both_tiers()));
        let origin = Origin::slow(SECOND);
        origin.write();
        // The load has read version 1 and takes its time; nobody invalidates what it fills.
        let old = get(if here { &reader } else { &writer }, "a", &origin);
        let asked = async {
            sleep(SECOND / 2).await;
            let version = origin.write();
            not_older(&reader, version, &origin).await
        };
        let (old, asked) = tokio::join!(old, asked);
        assert_eq!(old.expect("loads").version, v(1));
        let asked = asked.expect("loads");
        assert_eq!((asked.version, asked.value, asked.tier), (v(2), Some(bytes(2)), Tier::Origin));
        assert_eq!(origin.loads(), 2);
        // It has replaced what was there, in both tiers.
        for process in [&reader, &writer] {
            let lookup = process.get_with(&"a".to_owned(), never).await;
            let version = lookup.expect("is there").version;
            assert!(version == v(2) || (!here && version == v(1)), "{version}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_version_that_does_not_exist_is_answered_by_the_origin_at_once() {
    let l2 = memory();
    let processes = [(); 2].map(|()| Process::new(&l2, "session", both_tiers()));
    let origin = Origin::slow(SECOND / 10);
    let newest = origin.write();
    get(&processes[0], "a", &origin).await.expect("loads");
    let bogus = Version::new(u32::MAX, u64::MAX);
    let herd = (0..1_000).map(|n| not_older(&processes[n % 2], bogus, &origin));
    // As they come: not one after the other.
    let herd = timeout(SECOND, join_all(herd)).await.expect("nobody waits for all others");
    for lookup in herd {
        let lookup = lookup.expect("is loaded");
        assert_eq!((lookup.version, lookup.tier), (newest, Tier::Origin));
    }
    assert!(origin.loads() <= 6, "{}", origin.loads());
    // A bogus version leaves nothing behind.
    for process in &processes {
        let lookup = process.get_with(&"a".to_owned(), never).await.expect("is there");
        assert_eq!(lookup.version, newest);
    }
    let alone = alone(NamespaceOptions { l2: false, ..both_tiers() });
    for _ in 0..3 {
        let lookup = not_older(&alone, bogus, &origin).await.expect("is loaded");
        assert_eq!((lookup.version, lookup.tier), (newest, Tier::Origin));
    }
}
