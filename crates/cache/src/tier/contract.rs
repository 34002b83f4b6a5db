//! One contract, held by Redis with Larder's scripts and by the in-memory twin.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use larder_stack::{Topology, testing};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

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
    a_lease_is_granted_to_one_at_a_time(&on("lease")).await;
    a_fill_needs_the_lease(&on("fill")).await;
    a_tombstone_lets_nobody_fill_without_a_lease(&on("tombstone")).await;
    an_invalidation_clears_the_lease(&on("cleared")).await;
    a_released_lease_goes_to_the_next(&on("released")).await;
    a_lease_expires(&on("expired")).await;
    a_lease_is_renewed_and_never_brought_back(&on("renewed")).await;
    a_value_that_ends_before_the_lease_stays_as_a_guard(&on("guard")).await;
    stale_values_are_kept_and_leased(&on("stale")).await;
    what_is_enough_needs_no_lease(&on("enough")).await;
    entries_below_the_floor_are_leased(&on("floor")).await;
    a_publication_never_revives_what_is_gone(&on("publish")).await;
    versions_compare_beyond_doubles(&on("doubles")).await;
    repeating_changes_nothing(&on("twice")).await;
    waiters_are_woken(&on("woken")).await;
    entries_expire_and_live_on(&on("life")).await;
    random_operations_match_an_oracle(&l2, prefix).await;
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

async fn a_lease_is_granted_to_one_at_a_time(key: &Key) {
    let token = key.leased().await;
    key.must_wait().await;
    // The holder may ask again, which renews it.
    assert_eq!(key.acquire(&token).await, Acquired::Granted);
    key.must_wait().await;
    assert_eq!(key.read().await, Some(Entry::Lease(Version::default())));
    assert_eq!(key.fill(&token, v(1)).await, Verdict::Stored);
    assert!(key.holds(v(1)).await);
    let answer = key.acquire(&Token::unique()).await;
    let Acquired::Hit(stored) = answer else { panic!("{answer:?}") };
    assert!(matches!(Entry::decode(&stored.bytes), Ok(Entry::Value(held)) if held.version == v(1)));
}

async fn a_fill_needs_the_lease(key: &Key) {
    // On an absent key, too: something newer may have been there, and gone.
    assert_eq!(key.fill(&Token::unique(), v(1)).await, Verdict::LeaseLost);
    assert_eq!(key.read().await, None);
    let token = key.leased().await;
    assert_eq!(key.fill(&Token::unique(), v(2)).await, Verdict::LeaseLost);
    assert_eq!(key.fill(&token, v(2)).await, Verdict::Stored);
    assert_eq!(key.fill(&token, v(3)).await, Verdict::LeaseLost, "the lease is used up");
    assert_eq!(key.fill(&token, v(1)).await, Verdict::Newer);
    assert!(key.holds(v(2)).await);
}

async fn a_tombstone_lets_nobody_fill_without_a_lease(key: &Key) {
    key.invalidate(v(5)).await;
    assert_eq!(key.read().await, Some(Entry::Tombstone(v(5))));
    let nobody = Token::unique();
    assert_eq!(key.fill(&nobody, v(4)).await, Verdict::Newer);
    // Something newer may have been here, and gone, before an invalidation came late.
    assert_eq!(key.fill(&nobody, v(5)).await, Verdict::LeaseLost);
    let token = key.leased().await;
    assert_eq!(key.fill(&token, v(5)).await, Verdict::Stored);
    assert!(key.holds(v(5)).await);
    // What is as new as the invalidation stays, whatever is older or as old.
    assert_eq!(key.invalidate(v(5)).await, Verdict::Newer);
    assert_eq!(key.invalidate(v(4)).await, Verdict::Newer);
    assert!(key.holds(v(5)).await);
}

async fn an_invalidation_clears_the_lease(key: &Key) {
    let early = key.leased().await;
    assert_eq!(key.invalidate(v(2)).await, Verdict::Stored);
    // A load that began before the change brings what it read then.
    assert_eq!(key.fill(&early, v(1)).await, Verdict::Newer);
    let late = key.leased().await;
    key.must_wait().await;
    assert_eq!(key.fill(&early, v(2)).await, Verdict::LeaseLost);
    // The same invalidation, sent again or by another way, does not touch the later lease.
    assert_eq!(key.invalidate(v(2)).await, Verdict::Stored);
    key.must_wait().await;
    assert_eq!(key.fill(&late, v(2)).await, Verdict::Stored);
    assert!(key.holds(v(2)).await);
    // What the holder read after the change is filled, while nobody else was granted a lease.
    let token = Token::unique();
    assert_eq!(key.acquire_with(&token, LEASE, Enough::Nothing).await, Acquired::Granted);
    for counter in [3, 4] {
        assert_eq!(key.invalidate(v(counter)).await, Verdict::Stored);
    }
    assert_eq!(key.fill(&token, v(3)).await, Verdict::Newer);
    assert_eq!(key.fill(&token, v(4)).await, Verdict::Stored);
    assert!(key.holds(v(4)).await);
}

async fn a_released_lease_goes_to_the_next(key: &Key) {
    let token = key.leased().await;
    key.release(&Token::unique()).await;
    key.must_wait().await;
    key.release(&token).await;
    assert_eq!(key.read().await, None);
    let next = key.leased().await;
    key.release(&token).await;
    key.must_wait().await;
    // On a tombstone, the tombstone stays.
    key.fill(&next, v(1)).await;
    key.invalidate(v(2)).await;
    let token = key.leased().await;
    key.release(&token).await;
    assert_eq!(key.read().await, Some(Entry::Tombstone(v(2))));
    key.leased().await;
}

async fn a_lease_expires(key: &Key) {
    let brief = Duration::from_millis(150);
    let dead = Token::unique();
    assert_eq!(key.acquire_with(&dead, brief, Enough::Fresh).await, Acquired::Granted);
    let next = Token::unique();
    let Acquired::Wait(rest) = key.acquire(&next).await else { panic!("granted twice") };
    assert!(rest <= brief);
    tokio::time::sleep(brief + Duration::from_millis(50)).await;
    assert_eq!(key.acquire(&next).await, Acquired::Granted);
    assert_eq!(key.fill(&dead, v(1)).await, Verdict::LeaseLost);
    assert_eq!(key.fill(&next, v(1)).await, Verdict::Stored);
    // The same on a tombstone, which outlives the lease.
    key.invalidate(v(2)).await;
    key.acquire_with(&dead, brief, Enough::Fresh).await;
    key.must_wait().await;
    tokio::time::sleep(brief + Duration::from_millis(50)).await;
    assert_eq!(key.acquire(&next).await, Acquired::Granted);
}

async fn a_lease_is_renewed_and_never_brought_back(key: &Key) {
    let brief = Duration::from_millis(200);
    let token = Token::unique();
    let renew =
        async |token: &Token| key.l2.renew(&key.key, token, brief).await.expect("the tier answers");
    assert!(!renew(&token).await, "never held");
    assert_eq!(key.acquire_with(&token, brief, Enough::Fresh).await, Acquired::Granted);
    for _ in 0..4 {
        tokio::time::sleep(brief / 2).await;
        assert!(renew(&token).await);
        key.must_wait().await;
    }
    assert!(!renew(&Token::unique()).await, "another's");
    tokio::time::sleep(brief + Duration::from_millis(50)).await;
    assert!(!renew(&token).await, "expired");
    assert_eq!(key.read().await, None);
    // After an invalidation what the holder has read is old, whatever becomes of the tombstone.
    let token = key.leased().await;
    key.invalidate(v(1)).await;
    assert!(!renew(&token).await);
    let token = key.leased().await;
    assert!(renew(&token).await);
    assert_eq!(key.fill(&token, v(1)).await, Verdict::Stored);
    assert!(!renew(&token).await, "used up");
    assert!(key.holds(v(1)).await);
}

async fn a_value_that_ends_before_the_lease_stays_as_a_guard(key: &Key) {
    let token = key.leased().await;
    let life = LEASE / 2;
    assert_eq!(key.fill_for(&token, v(4), life, Duration::ZERO).await, Verdict::Stored);
    let token = Token::unique();
    assert_eq!(key.acquire_with(&token, LEASE, Enough::Nothing).await, Acquired::Granted);
    assert_eq!(key.read().await, Some(Entry::Lease(v(4))));
    assert_eq!(key.fill(&token, v(3)).await, Verdict::Newer);
    assert_eq!(key.fill(&token, v(4)).await, Verdict::Stored);
}

async fn stale_values_are_kept_and_leased(key: &Key) {
    let token = key.leased().await;
    // All of its life is stale.
    assert_eq!(key.fill_for(&token, v(1), LIFE, LIFE).await, Verdict::Stored);
    let token = key.leased().await;
    key.must_wait().await;
    assert!(key.holds(v(1)).await, "others may still fall back on it");
    key.release(&token).await;
    assert!(key.holds(v(1)).await);
    let token = key.leased().await;
    assert_eq!(key.fill(&token, v(1)).await, Verdict::Stored);
    assert!(matches!(key.acquire(&Token::unique()).await, Acquired::Hit(_)));
}

async fn what_is_enough_needs_no_lease(key: &Key) {
    let token = key.leased().await;
    key.fill(&token, v(1)).await;
    let asks = async |enough| key.acquire_with(&token, LEASE, enough).await;
    assert!(matches!(asks(Enough::LongerThan(LIFE / 2)).await, Acquired::Hit(_)));
    assert_eq!(asks(Enough::LongerThan(LIFE * 2)).await, Acquired::Granted);
    assert_eq!(asks(Enough::Nothing).await, Acquired::Granted);
    assert!(matches!(asks(Enough::Fresh).await, Acquired::Hit(_)));
    assert!(key.holds(v(1)).await);
}

async fn entries_below_the_floor_are_leased(key: &Key) {
    let token = key.leased().await;
    key.fill(&token, v(u64::MAX)).await;
    let wish =
        Acquire { key: &key.key, token: &token, lease: LEASE, floor: 2, enough: Enough::Fresh };
    assert_eq!(key.l2.acquire(&wish).await.expect("answers"), Acquired::Granted);
    assert_eq!(key.fill(&token, Version::new(2, 0)).await, Verdict::Stored);
    assert!(matches!(key.l2.acquire(&wish).await.expect("answers"), Acquired::Hit(_)));
}

async fn a_publication_never_revives_what_is_gone(key: &Key) {
    let none = Token::none();
    assert_eq!(key.publish(&none, v(3)).await, Verdict::Guarded);
    assert_eq!(key.read().await, Some(Entry::Tombstone(v(3))));
    // A tombstone tells no more than nothing at all: a late invalidation may have left it where a
    // newer value was.
    assert_eq!(key.publish(&none, v(3)).await, Verdict::Guarded);
    // The lease of who read after the change survives that.
    let token = key.leased().await;
    assert_eq!(key.publish(&none, v(3)).await, Verdict::Guarded);
    assert_eq!(key.fill(&token, v(3)).await, Verdict::Stored);
    // Over an older value it is stored.
    assert_eq!(key.publish(&none, v(4)).await, Verdict::Stored);
    for old in [v(3), v(4)] {
        assert_eq!(key.publish(&none, old).await, Verdict::Newer);
    }
    assert!(key.holds(v(4)).await);
    // A load under way read what was there before: its lease is gone.
    let token = Token::unique();
    assert_eq!(key.acquire_with(&token, LEASE, Enough::Nothing).await, Acquired::Granted);
    assert_eq!(key.publish(&none, v(5)).await, Verdict::Stored);
    assert_eq!(key.fill(&token, v(4)).await, Verdict::Newer);
    // A writer who held the lease before it committed knows that nothing newer was there.
    let other = Key { l2: Arc::clone(&key.l2), key: format!("{}2", key.key) };
    let token = other.leased().await;
    assert_eq!(other.publish(&token, v(1)).await, Verdict::Stored);
    assert!(other.holds(v(1)).await);
}

async fn versions_compare_beyond_doubles(key: &Key) {
    let token = key.leased().await;
    let past = (1_u64 << 53) + 1;
    key.fill(&token, v(past)).await;
    assert_eq!(key.invalidate(v(past - 1)).await, Verdict::Newer);
    assert_eq!(key.invalidate(v(past + 1)).await, Verdict::Stored);
    assert_eq!(key.fill(&token, v(past)).await, Verdict::Newer);
    // A larger epoch is newer, whatever the counter.
    let token = key.leased().await;
    assert_eq!(key.fill(&token, Version::new(2, 0)).await, Verdict::Stored);
    assert_eq!(key.invalidate(v(u64::MAX)).await, Verdict::Newer);
}

async fn repeating_changes_nothing(key: &Key) {
    let token = key.leased().await;
    for _ in 0..2 {
        assert_eq!(key.fill(&token, v(1)).await, Verdict::Stored);
    }
    for _ in 0..2 {
        assert_eq!(key.invalidate(v(2)).await, Verdict::Stored);
        assert_eq!(key.read().await, Some(Entry::Tombstone(v(2))));
    }
    let token = key.leased().await;
    for _ in 0..2 {
        key.release(&token).await;
        assert_eq!(key.read().await, Some(Entry::Tombstone(v(2))));
    }
}

async fn waiters_are_woken(key: &Key) {
    let token = key.leased().await;
    // Redis tells it through a subscription, which may not stand yet.
    for attempt in 0.. {
        let listener = key.l2.listen(&key.key);
        let woken = listener.woken();
        key.must_wait().await;
        key.release(&token).await;
        if tokio::time::timeout(Duration::from_millis(500), woken).await.is_ok() {
            break;
        }
        assert!(attempt < 20, "nobody is woken");
        assert_eq!(key.acquire(&token).await, Acquired::Granted);
    }
    // By a fill and by an invalidation as well.
    for change in 0..2 {
        let token = Token::unique();
        assert_eq!(key.acquire_with(&token, LEASE, Enough::Nothing).await, Acquired::Granted);
        let listener = key.l2.listen(&key.key);
        let woken = listener.woken();
        key.must_wait().await;
        if change == 0 {
            assert_eq!(key.invalidate(v(7)).await, Verdict::Stored);
        } else {
            assert_eq!(key.fill(&token, v(8)).await, Verdict::Stored);
        }
        let woken = tokio::time::timeout(Duration::from_secs(5), woken).await;
        assert!(woken.is_ok(), "change {change}");
    }
}

async fn entries_expire_and_live_on(key: &Key) {
    let brief = Duration::from_millis(300);
    let token = key.leased().await;
    key.fill_for(&token, v(1), brief, Duration::ZERO).await;
    let stored = key.l2.read(&key.key, true).await.expect("answers").expect("is there");
    assert!(stored.remaining.is_some_and(|left| left <= brief && !left.is_zero()));
    let longer = Key { l2: Arc::clone(&key.l2), key: format!("{}2", key.key) };
    let token = longer.leased().await;
    longer.fill_for(&token, v(1), brief, Duration::ZERO).await;
    longer.l2.prolong(&longer.key, LIFE).await.expect("answers");
    longer.l2.prolong(&longer.key, brief).await.expect("answers");
    tokio::time::sleep(brief + Duration::from_millis(100)).await;
    assert_eq!(key.read().await, None);
    assert!(longer.holds(v(1)).await);
}

#[derive(Clone, Debug)]
enum Operation {
    Acquire(u8),
    Fill(u8, u64),
    Publish(u8, u64),
    Invalidate(u64),
    Release(u8),
    Renew(u8),
}

/// What the contract says a key holds, spelled out once more in the plainest way.
#[derive(Clone, Copy, Debug, Default)]
struct Oracle {
    /// The version, and whether it is of a value; nothing for an absent key.
    held: Option<(u64, bool)>,
    /// Whether it is nothing but a lease.
    bare: bool,
    lease: Option<u8>,
    /// Whose lease an invalidation ended.
    former: Option<u8>,
}

impl Oracle {
    /// A value stands, and no lease.
    const fn of_value(counter: u64) -> Self {
        Self { held: Some((counter, true)), bare: false, lease: None, former: None }
    }

    /// A tombstone stands, and whose lease it ended is known.
    fn ended(self, counter: u64) -> Self {
        let former = self.lease.or(self.former);
        Self { held: Some((counter, false)), bare: false, lease: None, former }
    }
}

async fn random_operations_match_an_oracle(l2: &Arc<L2>, prefix: &str) {
    let who = 0..3_u8;
    let operation = prop_oneof![
        3 => who.clone().prop_map(Operation::Acquire),
        3 => (who.clone(), 1..6_u64).prop_map(|(who, counter)| Operation::Fill(who, counter)),
        1 => (who.clone(), 1..6_u64).prop_map(|(who, counter)| Operation::Publish(who, counter)),
        1 => (1..6_u64).prop_map(Operation::Invalidate),
        1 => who.clone().prop_map(Operation::Release),
        1 => who.prop_map(Operation::Renew),
    ];
    let sequences = prop::collection::vec(operation, 1..40);
    let mut runner = TestRunner::deterministic();
    let tokens: HashMap<u8, Token> = (0..3).map(|who| (who, Token::unique())).collect();
    for round in 0..60 {
        let sequence = sequences.new_tree(&mut runner).expect("generates").current();
        let key = Key { l2: Arc::clone(l2), key: format!("{prefix}:{{random {round}}}") };
        let mut oracle = Oracle::default();
        let mut newest = 0;
        for operation in &sequence {
            step(&key, &tokens, &mut oracle, operation).await;
            // What this is all about: no older version in the place of a newer one.
            let version = match key.read().await {
                Some(Entry::Value(held)) => held.version.counter,
                Some(Entry::Tombstone(held)) => held.counter,
                Some(Entry::Lease(_)) | None => continue,
            };
            assert!(version >= newest, "{sequence:?}");
            newest = version;
        }
    }
}

async fn step(key: &Key, tokens: &HashMap<u8, Token>, oracle: &mut Oracle, operation: &Operation) {
    let context = format!("{operation:?} on {oracle:?}");
    match *operation {
        Operation::Acquire(who) => {
            let answer = key.acquire(&tokens[&who]).await;
            match (oracle.held, oracle.lease) {
                (Some((_, true)), _) => assert!(matches!(answer, Acquired::Hit(_)), "{context}"),
                (_, Some(holder)) if holder != who => {
                    assert!(matches!(answer, Acquired::Wait(_)), "{context}");
                }
                _ => {
                    assert_eq!(answer, Acquired::Granted, "{context}");
                    oracle.bare = oracle.held.is_none();
                    oracle.lease = Some(who);
                    oracle.former = None;
                }
            }
        }
        Operation::Fill(who, counter) => {
            let answer = key.fill(&tokens[&who], v(counter)).await;
            let mine = [oracle.lease, oracle.former].contains(&Some(who));
            let expected = match oracle.held {
                Some((held, _)) if held > counter => Verdict::Newer,
                Some((held, true)) if held == counter => Verdict::Stored,
                _ if mine => Verdict::Stored,
                _ => Verdict::LeaseLost,
            };
            assert_eq!(answer, expected, "{context}");
            if expected == Verdict::Stored && oracle.held != Some((counter, true)) {
                *oracle = Oracle::of_value(counter);
            }
        }
        Operation::Publish(who, counter) => {
            let answer = key.publish(&tokens[&who], v(counter)).await;
            let expected = match oracle.held {
                Some((held, value)) if held > counter || (held == counter && value) => {
                    Verdict::Newer
                }
                Some((_, true)) => Verdict::Stored,
                _ if [oracle.lease, oracle.former].contains(&Some(who)) => Verdict::Stored,
                _ => Verdict::Guarded,
            };
            assert_eq!(answer, expected, "{context}");
            if expected == Verdict::Stored {
                *oracle = Oracle::of_value(counter);
            } else if expected == Verdict::Guarded && oracle.held != Some((counter, false)) {
                *oracle = oracle.ended(counter);
            }
        }
        Operation::Invalidate(counter) => {
            let answer = key.invalidate(v(counter)).await;
            let stays = oracle
                .held
                .is_some_and(|(held, value)| held > counter || (held == counter && value));
            assert_eq!(answer == Verdict::Newer, stays, "{context}");
            if !stays && oracle.held != Some((counter, false)) {
                *oracle = oracle.ended(counter);
            }
        }
        Operation::Renew(who) => {
            let renewed = key.l2.renew(&key.key, &tokens[&who], LEASE).await.expect("answers");
            assert_eq!(renewed, oracle.lease == Some(who), "{context}");
        }
        Operation::Release(who) => {
            key.release(&tokens[&who]).await;
            if oracle.former == Some(who) {
                oracle.former = None;
            }
            if oracle.lease == Some(who) {
                oracle.lease = None;
                oracle.bare = false;
            }
        }
    }
    let read = key.read().await;
    let agrees = match (&read, oracle.held) {
        (None, None) => !oracle.bare,
        (Some(Entry::Lease(_)), None) => oracle.bare,
        (Some(Entry::Tombstone(held)), Some((counter, false))) => held.counter == counter,
        (Some(Entry::Value(held)), Some((counter, true))) => held.version.counter == counter,
        _ => false,
    };
    assert!(agrees, "{context}: {read:?}");
}
