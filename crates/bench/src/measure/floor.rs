//! The fewest loads with which any cache could have answered what was sent.
//!
//! A read needs a load if its key was never loaded before, if what was loaded has expired, or if
//! a write that changed it has been answered since: who reads after the answer must see it.
//! Requests overlap, and so each is given its benefit: a load that was under way while a write
//! was counts as having seen it. What is left no cache can do without.

use std::collections::HashMap;
use std::time::Duration;

use crate::load::Sent;

/// Which other keys' values a write of a key changes.
pub type Dependents = HashMap<u32, Vec<u32>>;

/// What a write means to the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// Nobody tells it: the strategy promises no more than the TTL.
    Untold,
    /// What it holds of the key is old.
    Invalidate,
    /// The same, and the new value may be stored by the write itself.
    Publish,
}

impl Writes {
    /// What they mean under `strategy`. With no cache the floor is that of a coherent one.
    #[must_use]
    pub fn of(strategy: &str) -> Self {
        match strategy {
            "ttl" => Self::Untold,
            "write-through" => Self::Publish,
            _ => Self::Invalidate,
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Key {
    /// When the last load may have ended at the latest; `None`: never loaded.
    loaded_us: Option<u64>,
    /// When the newest write that has been answered began.
    written_us: Option<u64>,
}

enum Event {
    Read { key: u32, ends_us: u64, counts: bool },
    Written { key: u32, began_us: u64, stored: bool },
}

/// The fewest loads for the reads in `measured`, where the cache has answered `before` first (in
/// warm-up) and entries live for `ttl`.
#[must_use]
pub fn fewest_loads(
    before: &[Sent],
    measured: &[Sent],
    dependents: &Dependents,
    ttl: Option<Duration>,
    writes: Writes,
) -> u64 {
    let sequence = before.iter().map(|sent| (sent, false));
    let sequence = sequence.chain(measured.iter().map(|sent| (sent, true)));
    let mut events: Vec<(u64, Event)> = Vec::new();
    for (sent, counts) in sequence.filter(|(sent, _)| sent.ok && sent.key != 0) {
        if !sent.write {
            let read = Event::Read { key: sent.key, ends_us: sent.ended_us, counts };
            events.push((sent.begun_us, read));
        } else if writes != Writes::Untold {
            let others = dependents.get(&sent.key).map_or(&[][..], Vec::as_slice);
            for key in others.iter().chain([&sent.key]) {
                // A load that the measurement does not count.
                let stored = writes == Writes::Publish && !counts && *key == sent.key;
                let written = Event::Written { key: *key, began_us: sent.begun_us, stored };
                events.push((sent.ended_us, written));
            }
        }
    }
    events.sort_by_key(|(at, _)| *at);

    let ttl_us = ttl.map_or(u64::MAX, |ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX));
    let mut keys: HashMap<u32, Key> = HashMap::new();
    let mut loads = 0;
    for (at, event) in events {
        match event {
            Event::Read { key, ends_us, counts } => {
                let key = keys.entry(key).or_default();
                let valid = key.loaded_us.is_some_and(|loaded| {
                    key.written_us.is_none_or(|written| written < loaded)
                        && at <= loaded.saturating_add(ttl_us)
                });
                if !counts {
                    key.loaded_us = key.loaded_us.max(Some(ends_us));
                } else if !valid {
                    key.loaded_us = Some(ends_us);
                    loads += 1;
                }
            }
            Event::Written { key, began_us, stored } => {
                let key = keys.entry(key).or_default();
                key.written_us = key.written_us.max(Some(began_us));
                if stored {
                    key.loaded_us = key.loaded_us.max(Some(at));
                }
            }
        }
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(key: u32, write: bool, begun_us: u64, ended_us: u64) -> Sent {
        Sent { key, write, ok: true, begun_us, ended_us }
    }

    fn floor(measured: &[Sent]) -> u64 {
        fewest_loads(&[], measured, &Dependents::new(), None, Writes::Invalidate)
    }

    #[test]
    fn each_key_is_loaded_once_and_again_after_it_was_written() {
        let reads = [sent(1, false, 0, 5), sent(1, false, 6, 7), sent(2, false, 8, 9)];
        assert_eq!(floor(&reads), 2);
        let written = [sent(1, false, 0, 5), sent(1, true, 10, 20), sent(1, false, 30, 35)];
        assert_eq!(floor(&written), 2);
        // Two writes between two reads force one load.
        let twice =
            [written[0], written[1], sent(1, true, 21, 25), written[2], sent(1, false, 40, 41)];
        assert_eq!(floor(&twice), 2);
    }

    #[test]
    fn what_overlaps_may_have_seen_the_write() {
        // Read while the write was under way; the load may have been after its commit.
        let load = sent(1, false, 11, 15);
        assert_eq!(floor(&[load, sent(1, true, 10, 20), sent(1, false, 30, 31)]), 1);
        // Read before the write was answered: nobody had promised anything yet.
        let early = [sent(1, false, 0, 5), sent(1, true, 10, 20), sent(1, false, 15, 16)];
        assert_eq!(floor(&early), 1);
    }

    #[test]
    fn a_write_changes_the_pages_that_show_the_product() {
        let dependents = Dependents::from([(1, vec![2, 3])]);
        let steps = [
            sent(2, false, 0, 1),
            sent(4, false, 0, 1),
            sent(1, true, 2, 3),
            sent(2, false, 4, 5),
            sent(4, false, 4, 5),
        ];
        assert_eq!(fewest_loads(&[], &steps, &dependents, None, Writes::Invalidate), 3);
        assert_eq!(fewest_loads(&[], &steps, &dependents, None, Writes::Untold), 2);
    }

    #[test]
    fn warm_up_counts_for_nothing_but_what_it_left_and_entries_expire() {
        let before = [sent(1, false, 0, 1)];
        let measured = [sent(1, false, 2_000, 2_001), sent(1, false, 3_000, 3_001)];
        let of =
            |ttl| fewest_loads(&before, &measured, &Dependents::new(), ttl, Writes::Invalidate);
        assert_eq!(of(None), 0);
        assert_eq!(of(Some(Duration::from_micros(1_500))), 1);
        assert_eq!(of(Some(Duration::from_micros(10))), 2);
    }

    #[test]
    fn what_warm_up_may_have_loaded_is_not_asked_for_again() {
        // The second read of the warm-up overlaps the write: it may have loaded the new value.
        let before = [sent(1, false, 0, 5), sent(1, true, 10, 20), sent(1, false, 15, 25)];
        let measured = [sent(1, false, 100, 101)];
        let of = |before: &[Sent], writes| {
            fewest_loads(before, &measured, &Dependents::new(), None, writes)
        };
        assert_eq!(of(&before, Writes::Invalidate), 0);
        assert_eq!(of(&before[..2], Writes::Invalidate), 1);
        // A write that publishes has stored it.
        assert_eq!(of(&before[..2], Writes::Publish), 0);
        assert_eq!(of(&before[..1], Writes::Invalidate), 0);
    }

    #[test]
    fn what_was_not_answered_needs_no_load() {
        let failed = Sent { ok: false, ..sent(1, false, 0, 1) };
        assert_eq!(floor(&[failed]), 0);
    }
}
