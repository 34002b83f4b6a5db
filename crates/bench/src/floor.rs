//! The fewest loads with which any cache could have answered a sequence.

use std::time::Duration;

use crate::trace::{Access, Op};

/// The loads that no cache can do without, by their reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Floor {
    /// Of keys never read before.
    pub compulsory: u64,
    /// Of keys that were changed since they were last loaded.
    pub after_writes: u64,
    /// Of values that had reached the end of their time to live.
    pub after_ttl: u64,
}

impl Floor {
    /// All together.
    #[must_use]
    pub const fn loads(self) -> u64 {
        self.compulsory + self.after_writes + self.after_ttl
    }
}

/// What is known of a key.
#[derive(Clone, Copy)]
enum Known {
    /// It was loaded then, in microseconds.
    Loaded(u64),
    /// It was loaded, and changed since.
    Changed,
}

/// The fewest loads with which a cache can answer every read of `accesses`, one step at a time,
/// in which nothing is served that a write made old or that was loaded `ttl` ago or longer. To
/// load as late as possible, at the first read that nothing held can answer, is best: each load
/// then serves as many later reads as any earlier one would.
pub fn floor(accesses: impl IntoIterator<Item = Access>, ttl: Option<Duration>) -> Floor {
    let ttl_us = ttl.map_or(u64::MAX, |ttl| u64::try_from(ttl.as_micros()).unwrap_or(u64::MAX));
    let mut known: Vec<Option<Known>> = Vec::new();
    let mut floor = Floor::default();
    for Access { at_us, key, op } in accesses {
        let place = key as usize;
        if place >= known.len() {
            known.resize((place + 1).next_power_of_two(), None);
        }
        match (op, known[place]) {
            (Op::Write, Some(_)) => known[place] = Some(Known::Changed),
            (Op::Write, None) => {}
            (Op::Read, Some(Known::Loaded(since))) if at_us - since < ttl_us => {}
            (Op::Read, before) => {
                match before {
                    None => floor.compulsory += 1,
                    Some(Known::Changed) => floor.after_writes += 1,
                    Some(Known::Loaded(_)) => floor.after_ttl += 1,
                }
                known[place] = Some(Known::Loaded(at_us));
            }
        }
    }
    floor
}

#[cfg(test)]
mod tests {
    use larder_stack::testing::data_file;
    use proptest::prelude::*;

    use super::*;
    use crate::trace::{Format, MAX_BROKEN, Recording};

    fn access(at_us: u64, key: u32, op: Op) -> Access {
        Access { at_us, key, op }
    }

    #[test]
    fn loads_are_told_apart_by_their_reason() {
        use Op::{Read, Write};
        let steps = [
            access(0, 1, Write),
            access(0, 1, Read),
            access(9, 1, Read),
            access(10, 1, Read),
            access(11, 1, Write),
            access(12, 1, Write),
            access(13, 1, Read),
            access(14, 1, Read),
            access(15, 2, Read),
        ];
        let found = floor(steps, Some(Duration::from_micros(10)));
        assert_eq!(found, Floor { compulsory: 2, after_writes: 1, after_ttl: 1 });
        let found = floor(steps, None);
        assert_eq!(found, Floor { compulsory: 2, after_writes: 1, after_ttl: 0 });
    }

    #[test]
    fn the_recorded_pages_need_one_load_each() {
        let Some(path) = data_file("floor::the_recorded_pages", "traces/web07.trace.xz") else {
            return;
        };
        let recording = Recording::read(&path, Format::Cache2k, MAX_BROKEN).expect("reads");
        let found = floor(recording.accesses, None);
        assert_eq!(found, Floor { compulsory: 20_484, ..Floor::default() });
    }

    /// The fewest loads for one key by trying every set of reads that load.
    fn by_trial(steps: &[(u64, Op)], ttl: u64) -> u32 {
        let reads = steps.iter().filter(|step| step.1 == Op::Read).count();
        let answers_all = |loads: u32| {
            let (mut read, mut since) = (0, None);
            steps.iter().all(|(at, op)| match op {
                Op::Write => {
                    since = None;
                    true
                }
                Op::Read => {
                    let load = loads >> read & 1 == 1;
                    read += 1;
                    if load {
                        since = Some(*at);
                    }
                    since.is_some_and(|since| at - since < ttl)
                }
            })
        };
        let all = (0..1_u32 << reads).filter(|loads| answers_all(*loads));
        all.map(u32::count_ones).min().expect("to load at every read answers all")
    }

    proptest! {
        #[test]
        fn no_choice_of_loads_does_with_fewer(
            steps in prop::collection::vec((0_u64..6, prop::bool::weighted(0.25)), 0..12),
            ttl in 1_u64..20,
        ) {
            let mut at = 0;
            let steps: Vec<(u64, Op)> = steps
                .into_iter()
                .map(|(later, write)| {
                    at += later;
                    (at, if write { Op::Write } else { Op::Read })
                })
                .collect();
            let found = floor(
                steps.iter().map(|(at, op)| access(*at, 0, *op)),
                Some(Duration::from_micros(ttl)),
            );
            prop_assert_eq!(found.loads(), u64::from(by_trial(&steps, ttl)));
        }
    }
}
