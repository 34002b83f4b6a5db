use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use larder::Eviction;
use larder_stack::testing::data_file;
use proptest::prelude::*;

use super::*;
use crate::floor::floor;
use crate::load::Keys;
use crate::trace::{Access, Format, MAX_BROKEN, Op, Recording};

fn recorded(test: &str, name: &str) -> Option<Recording> {
    let path = data_file(test, &format!("traces/{name}.trace.xz"))?;
    Some(Recording::read(&path, Format::Cache2k, MAX_BROKEN).expect("reads"))
}

fn reads(keys: impl IntoIterator<Item = u32>) -> Vec<Access> {
    keys.into_iter().map(|key| Access { at_us: 0, key, op: Op::Read }).collect()
}

fn zipf(keys: u32, exponent: f64, count: usize) -> Vec<Access> {
    reads(Keys::new((0..keys).collect(), exponent, 7).draw(count))
}

/// A list of what was used last: slow, and plainly LRU.
fn by_list(accesses: &[Access], entries: usize) -> u64 {
    let mut list = VecDeque::new();
    let mut hits = 0;
    for Access { key, op, .. } in accesses {
        let place = list.iter().position(|held| held == key);
        if let Some(place) = place {
            list.remove(place);
        }
        if *op == Op::Read {
            hits += u64::from(place.is_some());
            list.push_front(*key);
            list.truncate(entries);
        }
    }
    hits
}

proptest! {
    #[test]
    fn one_pass_finds_what_a_list_of_every_size_finds(
        steps in prop::collection::vec((0_u32..12, prop::bool::weighted(0.2)), 0..300),
    ) {
        let access = |(key, write)| Access {
            at_us: 0,
            key,
            op: if write { Op::Write } else { Op::Read },
        };
        let accesses: Vec<Access> = steps.into_iter().map(access).collect();
        let distances = Distances::of(accesses.iter().copied());
        for entries in 1..=13 {
            prop_assert_eq!(distances.hits(entries), by_list(&accesses, entries), "{}", entries);
        }
    }
}

#[test]
fn slots_are_numbered_anew_without_a_change() {
    let accesses = zipf(3_000, 0.8, 60_000);
    let distances = Distances::of(accesses.iter().copied());
    for entries in [1, 30, 700, 3_000] {
        assert_eq!(distances.hits(entries), by_list(&accesses, entries), "{entries}");
    }
    assert_eq!(distances.smallest(distances.hit_ratio(700)), Some(700));
    assert_eq!(distances.smallest(1.0), None, "the first read of a key is a miss at every size");
}

/// Third digits, as they are known of the recorded traces.
fn lru_is_the_published_one(test: &str, name: &str, keys: usize, at_one: f64, at_ten: f64) {
    let Some(recording) = recorded(test, name) else { return };
    assert_eq!(recording.keys.len(), keys);
    let distances = Distances::of(recording.accesses);
    for (entries, known) in [(keys / 100, at_one), (keys / 10, at_ten)] {
        let found = distances.hit_ratio(entries);
        assert!((found - known).abs() < 0.000_5, "{name}, {entries} entries: {found}");
    }
}

#[test]
fn lru_of_the_recorded_pages_is_the_published_one() {
    let test = "lru_of_the_recorded_pages_is_the_published_one";
    lru_is_the_published_one(test, "web07", 20_484, 0.391, 0.557);
}

#[test]
fn lru_of_the_recorded_night_is_the_published_one() {
    let test = "lru_of_the_recorded_night_is_the_published_one";
    lru_is_the_published_one(test, "orm-night", 86_466, 0.662, 0.935);
}

#[test]
fn the_container_does_lru_like_the_pass_but_for_its_shards() {
    let test = "the_container_does_lru_like_the_pass_but_for_its_shards";
    let Some(recording) = recorded(test, "web07") else { return };
    let sizes = Sizes::equal(1_000);
    let distances = Distances::of(recording.accesses.iter().copied());
    for entries in [1_024, 4_096] {
        let plan = L1Plan {
            eviction: Eviction::Lru,
            capacity: entries * sizes.entry(0),
            ttl: None,
            processes: 1,
            seed: 7,
        };
        let found = plan.answers(&recording.accesses, &sizes).hit_ratio();
        let exact = distances.hit_ratio(entries);
        assert!((found - exact).abs() < 0.005, "{entries}: {found} {exact}");
    }
}

#[test]
fn a_tier_that_holds_everything_loads_what_must_be_loaded() {
    let mut accesses = zipf(500, 0.9, 20_000);
    for (number, access) in (0_u64..).zip(&mut accesses) {
        access.at_us = number * 1_000;
        if number % 11 == 3 {
            access.op = Op::Write;
        }
    }
    for ttl in [None, Some(Duration::from_secs(1)), Some(Duration::from_secs(5))] {
        let needed = floor(accesses.iter().copied(), ttl).loads();
        let plan =
            L1Plan { eviction: Eviction::S3Fifo, capacity: 1 << 30, ttl, processes: 1, seed: 7 };
        let answers = plan.answers(&accesses, &Sizes::equal(100));
        assert_eq!(answers.misses(), needed);
        let through = Behaviour::caching(OnWrite::Invalidate, ttl);
        let demand = Demand::of(&accesses, through, |_| 2.0);
        assert_eq!((demand.loads, demand.stale_answers), (needed, 0));
        assert!((demand.load_ms - 2.0 * needed as f64).abs() < 1e-6);
        // Of two processes each loads for itself.
        let two = L1Plan { processes: 2, ..plan }.answers(&accesses, &Sizes::equal(100));
        assert!(two.misses() > needed && two.misses() <= 2 * needed, "{two:?} {needed}");
    }
}

fn steps(each: &[(u64, Op)]) -> Vec<Access> {
    each.iter().map(|(at_ms, op)| Access { at_us: at_ms * 1_000, key: 0, op: *op }).collect()
}

#[test]
fn each_way_to_write_costs_what_it_costs() {
    use Op::{Read, Write};
    let accesses =
        steps(&[(0, Read), (1, Write), (2, Read), (3, Write), (4, Write), (5, Read), (6, Read)]);
    let demand = |behaviour| {
        let Demand { loads, publishing_loads, writes, stale_answers, busiest_10_s, .. } =
            Demand::of(&accesses, behaviour, |_| 1.0);
        (loads, publishing_loads, writes, stale_answers, busiest_10_s)
    };
    assert_eq!(demand(Behaviour::none()), (4, 0, 3, 0, 7));
    let caching = |on_write| Behaviour::caching(on_write, None);
    assert_eq!(demand(caching(OnWrite::Invalidate)), (3, 0, 3, 0, 6));
    assert_eq!(demand(caching(OnWrite::Publish)), (1, 3, 3, 0, 7));
    assert_eq!(demand(caching(OnWrite::Ignore)), (1, 0, 3, 3, 4));
}

#[test]
fn lives_are_as_much_shorter_as_jitter_makes_them() {
    // Read each millisecond: every life ends in a load, and they are 10 s less 0 to 40 %.
    let accesses: Vec<Access> =
        (0..4_000_000_u64).map(|at| Access { at_us: at * 1_000, key: 0, op: Op::Read }).collect();
    let ttl = Some(Duration::from_secs(10));
    let loads = |jitter| {
        let behaviour = Behaviour { jitter, ..Behaviour::caching(OnWrite::Invalidate, ttl) };
        Demand::of(&accesses, behaviour, |_| 1.0).loads
    };
    assert_eq!(loads(0.0), 400);
    // 4,000 s in lives of 8 s on average, of a standard deviation of 1.2 s.
    assert!((490..=511).contains(&loads(0.4)), "{}", loads(0.4));
}

#[test]
fn reloads_ahead_are_as_frequent_as_the_paper_says() {
    // One read after 9 s of 10 with a cost of 1 s: P = exp(−1) that it reloads, each time.
    let pairs = 20_000_u64;
    let accesses: Vec<Access> = (0..pairs)
        .flat_map(|pair| {
            let at = |ms: u64| pair * 100_000_000 + ms * 1_000;
            [at(0), at(9_000)].map(|at_us| Access { at_us, key: 0, op: Op::Read })
        })
        .collect();
    let refresh = Some(Refresh { beta: 1.0, seed: 7 });
    let ttl = Some(Duration::from_secs(10));
    let behaviour = Behaviour { refresh, ..Behaviour::caching(OnWrite::Invalidate, ttl) };
    let demand = Demand::of(&accesses, behaviour, |_| 1_000.0);
    assert_eq!(demand.loads, pairs);
    let share = demand.background_loads as f64 / pairs as f64;
    assert!((share - (-1.0_f64).exp()).abs() < 0.01, "{share}");
    let at_once = Demand::of(&accesses, Behaviour { refresh: None, ..behaviour }, |_| 1_000.0);
    assert_eq!(at_once.background_loads, 0);
}

#[test]
fn a_sample_knows_its_error() {
    let accesses = zipf(40_000, 0.9, 400_000);
    let exact = LruCurve::of(&accesses, None);
    let (mut outside, mut worst, mut tried) = (0, 0.0_f64, 0);
    for seed in 0..6 {
        let sample = Sample { rate: 0.2, seed };
        let curve = LruCurve::of(&accesses, Some(sample));
        for entries in [400, 2_000, 8_000, 20_000] {
            let (truth, found) = (exact.hit_ratio(entries), curve.hit_ratio(entries));
            let error = found.error.expect("an estimate");
            assert!(truth.error == Some(0.0) && error > 0.0, "{found:?}");
            let off = (found.value - truth.value).abs();
            worst = worst.max(off);
            outside += usize::from(off > error);
            tried += 1;
        }
    }
    // Ten entries are less than one in each part of a sample.
    let coarse = LruCurve::of(&accesses, Some(Sample { rate: 0.02, seed: 1 })).hit_ratio(10);
    let truth = exact.hit_ratio(10).value;
    let off = (coarse.value - truth).abs();
    assert!(truth > 0.0 && coarse.error.is_some_and(|error| off < error), "{coarse:?} {truth}");
    // Intervals of 95 %: one in twenty may miss; a few more hardly ever do.
    assert!(outside <= tried / 6, "{outside} of {tried}");
    assert!(worst < 0.02, "{worst}");
    let (whole, sampled) = (
        exact.smallest(0.6),
        LruCurve::of(&accesses, Some(Sample { rate: 0.2, seed: 1 })).smallest(0.6),
    );
    let (whole, sampled) = (whole.expect("reached"), sampled.expect("reached"));
    assert!(whole.abs_diff(sampled) < whole / 5, "{whole} {sampled}");
}

#[test]
fn a_sampled_tier_knows_the_error_of_its_own_policy() {
    let accesses = zipf(20_000, 0.9, 100_000);
    let sizes = Sizes::equal(1_000);
    let (mut outside, mut tried) = (0, 0);
    for eviction in Eviction::ALL {
        let mut errors = Vec::new();
        for entries in [2_000, 8_000] {
            let capacity = entries * sizes.entry(0);
            let plan = L1Plan { eviction, capacity, ttl: None, processes: 1, seed: 7 };
            let exact = plan.estimate(&accesses, &sizes, None);
            assert_eq!(exact.misses, plan.answers(&accesses, &sizes).misses());
            assert_eq!(exact.hit_ratio.error, Some(0.0));
            for seed in 0..3 {
                let sample = Some(Sample { rate: 0.3, seed });
                let found = plan.estimate(&accesses, &sizes, sample).hit_ratio;
                let off = (found.value - exact.hit_ratio.value).abs();
                let error = found.error.expect("an estimate");
                assert!(error > 0.0 && off < 0.03, "{eviction} {entries}: {found:?}");
                outside += usize::from(off > error);
                tried += 1;
                errors.push(error);
            }
        }
        // It is its own: no two sizes or samples are off by the same.
        errors.sort_by(f64::total_cmp);
        errors.dedup();
        assert_eq!(errors.len(), 6, "{eviction}");
        // A tier that holds a hundred entries in all tells nothing in eight parts of a sample.
        let capacity = 100 * sizes.entry(0);
        let small = L1Plan { eviction, capacity, ttl: None, processes: 1, seed: 7 };
        let sample = Some(Sample { rate: 0.3, seed: 0 });
        assert_eq!(small.estimate(&accesses, &sizes, sample).hit_ratio.error, None);
    }
    assert!(outside <= tried / 6, "{outside} of {tried}");
}

#[test]
fn defaults_are_those_of_the_service() {
    let nothing = catalog_api::config::load(Path::new("no-such.toml"), false, std::iter::empty());
    let settings = serde_json::to_value(nothing.expect("defaults are valid")).expect("JSON");
    let page = &settings["namespaces"]["product-page"];
    assert_eq!(
        (page["jitter"].as_f64(), page["refresh_beta"].as_f64()),
        (Some(JITTER), Some(BETA))
    );
}

#[test]
fn work_in_parallel_keeps_its_order() {
    let squares = in_parallel(&(0..1_000_u64).collect::<Vec<_>>(), |number| number * number);
    assert!((0..).zip(&squares).all(|(number, square)| *square == number * number));
}
