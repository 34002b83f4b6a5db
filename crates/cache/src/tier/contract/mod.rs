//! One contract, held by Redis with Larder's scripts and by the in-memory twin.

mod random;
mod rules;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_stack::{Topology, testing};

use super::{Acquire, Acquired, Enough, L2, MemoryTier, RedisTier, Store, Token, Verdict};
use crate::codec::{Codec, Compression};
use crate::entry::{Entry, StoredValue};
use crate::redis::RedisOptions;
use crate::version::Version;

const LIFE: Duration = Duration::from_secs(60);
const LEASE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_in_memory_twin_keeps_the_contract() {
    suite(Arc::new(L2::Memory(MemoryTier::default())), "memory").await;
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    if testing::skip_without_servers("redis_keeps_the_contract") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    let tier = RedisTier::connect(RedisOptions::new(cluster.nodes())).expect("valid options");
    let l2 = Arc::new(L2::Redis(tier));
    let began = Instant::now();
    while !l2.is_available() {
        assert!(began.elapsed() < Duration::from_secs(20), "redis does not answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    suite(l2, &testing::unique("contract")).await;
}

async fn suite(l2: Arc<L2>, prefix: &str) {
    let on = |name: &str| Key { l2: Arc::clone(&l2), key: format!("{prefix}:{{{name}}}") };
    rules::a_lease_is_granted_to_one_at_a_time(&on("lease")).await;
    rules::a_fill_needs_the_lease(&on("fill")).await;
    rules::a_tombstone_lets_nobody_fill_without_a_lease(&on("tombstone")).await;
    rules::an_invalidation_clears_the_lease(&on("cleared")).await;
    rules::a_released_lease_goes_to_the_next(&on("released")).await;
    rules::a_lease_expires(&on("expired")).await;
    rules::a_lease_is_renewed_and_never_brought_back(&on("renewed")).await;
    rules::a_value_that_ends_before_the_lease_stays_as_a_guard(&on("guard")).await;
    rules::stale_values_are_kept_and_leased(&on("stale")).await;
    rules::what_is_enough_needs_no_lease(&on("enough")).await;
    rules::entries_below_the_floor_are_leased(&on("floor")).await;
    rules::a_publication_never_revives_what_is_gone(&on("publish")).await;
    rules::versions_compare_beyond_doubles(&on("doubles")).await;
    rules::repeating_changes_nothing(&on("twice")).await;
    rules::waiters_are_woken(&on("woken")).await;
    rules::entries_expire_and_live_on(&on("life")).await;
    random::operations_match_an_oracle(&l2, prefix).await;
}

/// One key of a tier.
struct Key {
    l2: Arc<L2>,
    key: String,
}

fn v(counter: u64) -> Version {
    Version::new(1, counter)
}

fn payload(version: Version) -> Bytes {
    Bytes::from(format!("value {version}"))
}

fn value(version: Version, life: Duration, stale: Duration) -> Bytes {
    let stored = StoredValue {
        version,
        negative: false,
        codec: Codec::Raw,
        compression: Compression::None,
        fingerprint: 7,
        load_cost: Duration::ZERO,
        life,
        stale,
        tags: None,
        payload: payload(version),
    };
    Entry::Value(stored).encode()
}

impl Key {
    async fn acquire_with(&self, token: &Token, lease: Duration, enough: Enough) -> Acquired {
        let wish = Acquire { key: &self.key, token, lease, floor: 0, enough };
        self.l2.acquire(&wish).await.expect("the tier answers")
    }

    async fn acquire(&self, token: &Token) -> Acquired {
        self.acquire_with(token, LEASE, Enough::Fresh).await
    }

    async fn leased(&self) -> Token {
        let token = Token::unique();
        assert_eq!(self.acquire(&token).await, Acquired::Granted);
        token
    }

    async fn must_wait(&self) {
        let answer = self.acquire(&Token::unique()).await;
        assert!(matches!(answer, Acquired::Wait(rest) if rest <= LEASE), "{answer:?}");
    }

    async fn fill(&self, token: &Token, version: Version) -> Verdict {
        self.fill_for(token, version, LIFE, Duration::ZERO).await
    }

    async fn fill_for(
        &self,
        token: &Token,
        version: Version,
        life: Duration,
        stale: Duration,
    ) -> Verdict {
        let entry = value(version, life, stale);
        let store = Store { key: &self.key, entry, version, life, token };
        self.l2.fill(store).await.expect("the tier answers")
    }

    async fn publish(&self, token: &Token, version: Version) -> Verdict {
        let entry = value(version, LIFE, Duration::ZERO);
        let store = Store { key: &self.key, entry, version, life: LIFE, token };
        let tombstone = Entry::Tombstone(version).encode();
        self.l2.publish(store, tombstone, LIFE).await.expect("the tier answers")
    }

    async fn invalidate(&self, version: Version) -> Verdict {
        let tombstone = Entry::Tombstone(version).encode();
        self.l2.invalidate(&self.key, tombstone, version, LIFE).await.expect("the tier answers")
    }

    async fn release(&self, token: &Token) {
        self.l2.release(&self.key, token).await.expect("the tier answers");
    }

    async fn read(&self) -> Option<Entry> {
        let stored = self.l2.read(&self.key, true).await.expect("the tier answers")?;
        Some(Entry::decode(&stored.bytes).expect("an entry"))
    }

    async fn holds(&self, version: Version) -> bool {
        matches!(self.read().await, Some(Entry::Value(held))
            if held.version == version && held.payload == payload(version))
    }
}
