//! What the contract says, rule by rule, each on a key of its own.

use std::sync::Arc;
use std::time::Duration;

use super::{Key, LEASE, LIFE, v};
use crate::entry::Entry;
use crate::tier::{Acquire, Acquired, Enough, Token, Verdict};
use crate::version::Version;

pub(super) async fn a_lease_is_granted_to_one_at_a_time(key: &Key) {
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

pub(super) async fn a_fill_needs_the_lease(key: &Key) {
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

pub(super) async fn a_tombstone_lets_nobody_fill_without_a_lease(key: &Key) {
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

pub(super) async fn an_invalidation_clears_the_lease(key: &Key) {
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

pub(super) async fn a_released_lease_goes_to_the_next(key: &Key) {
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

pub(super) async fn a_lease_expires(key: &Key) {
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

pub(super) async fn a_lease_is_renewed_and_never_brought_back(key: &Key) {
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

pub(super) async fn a_value_that_ends_before_the_lease_stays_as_a_guard(key: &Key) {
    let token = key.leased().await;
    let life = LEASE / 2;
    assert_eq!(key.fill_for(&token, v(4), life, Duration::ZERO).await, Verdict::Stored);
    let token = Token::unique();
    assert_eq!(key.acquire_with(&token, LEASE, Enough::Nothing).await, Acquired::Granted);
    assert_eq!(key.read().await, Some(Entry::Lease(v(4))));
    assert_eq!(key.fill(&token, v(3)).await, Verdict::Newer);
    assert_eq!(key.fill(&token, v(4)).await, Verdict::Stored);
}

pub(super) async fn stale_values_are_kept_and_leased(key: &Key) {
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

pub(super) async fn what_is_enough_needs_no_lease(key: &Key) {
    let token = key.leased().await;
    key.fill(&token, v(1)).await;
    let asks = async |enough| key.acquire_with(&token, LEASE, enough).await;
    assert!(matches!(asks(Enough::LongerThan(LIFE / 2)).await, Acquired::Hit(_)));
    assert_eq!(asks(Enough::LongerThan(LIFE * 2)).await, Acquired::Granted);
    assert_eq!(asks(Enough::Nothing).await, Acquired::Granted);
    assert!(matches!(asks(Enough::Fresh).await, Acquired::Hit(_)));
    assert!(key.holds(v(1)).await);
}

pub(super) async fn entries_below_the_floor_are_leased(key: &Key) {
    let token = key.leased().await;
    key.fill(&token, v(u64::MAX)).await;
    let wish =
        Acquire { key: &key.key, token: &token, lease: LEASE, floor: 2, enough: Enough::Fresh };
    assert_eq!(key.l2.acquire(&wish).await.expect("answers"), Acquired::Granted);
    assert_eq!(key.fill(&token, Version::new(2, 0)).await, Verdict::Stored);
    assert!(matches!(key.l2.acquire(&wish).await.expect("answers"), Acquired::Hit(_)));
}

pub(super) async fn a_publication_never_revives_what_is_gone(key: &Key) {
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

pub(super) async fn versions_compare_beyond_doubles(key: &Key) {
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

pub(super) async fn repeating_changes_nothing(key: &Key) {
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

pub(super) async fn waiters_are_woken(key: &Key) {
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

pub(super) async fn entries_expire_and_live_on(key: &Key) {
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
