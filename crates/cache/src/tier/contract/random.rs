//! The contract under random operations, beside an oracle that says it once more.

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{Key, LEASE, v};
use crate::entry::Entry;
use crate::tier::{Acquired, L2, Token, Verdict};

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

pub(super) async fn operations_match_an_oracle(l2: &Arc<L2>, prefix: &str) {
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
