use std::collections::HashMap;

use super::*;
use crate::simulate::Distances;
use crate::trace::{Access, Op};

fn workload(spec: &str, products: u32) -> Workload {
    let spec: Spec = toml::from_str(spec).expect(spec);
    Workload::new(&spec, (1..=products).collect(), 7).expect("a workload")
}

fn draw(spec: &str, products: u32, count: usize) -> Vec<Operation> {
    workload(spec, products).take(count).collect()
}

fn part(operations: &[Operation], of: impl Fn(&Operation) -> bool) -> f64 {
    operations.iter().filter(|operation| of(operation)).count() as f64 / operations.len() as f64
}

/// The hit ratio of LRU under independent draws (R. Fagin, *Asymptotic miss ratios over
/// independent references*, 1977; H. Che, Y. Tung, Z. Wang, *Hierarchical Web caching systems*,
/// IEEE JSAC 20 (7), 2002): an entry stays for a characteristic time T, which is such that
/// as many entries as fit were asked for within it.
fn closed_form(keys: u32, exponent: f64, entries: f64) -> f64 {
    let weights: Vec<f64> = (1..=keys).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let all: f64 = weights.iter().sum();
    let held = |time: f64| weights.iter().map(|w| 1.0 - (-w / all * time).exp()).sum::<f64>();
    let (mut low, mut high) = (0.0, 1e9);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if held(middle) < entries { low = middle } else { high = middle }
    }
    weights.iter().map(|w| w / all * (1.0 - (-w / all * low).exp())).sum()
}

#[test]
fn lru_answers_as_much_of_a_law_as_the_closed_form_says() {
    let (keys, warm_up, count) = (5_000, 100_000, 700_000);
    for exponent in [0.0, 0.6, 0.99, 1.3] {
        let spec = format!("kind = \"zipf\"\nexponent = {exponent:?}");
        let accesses: Vec<Access> = workload(&spec, keys)
            .take(count)
            .map(|operation| match operation {
                Operation::Read(key) => Access { at_us: 0, key, op: Op::Read },
                other => panic!("{other:?} of a workload that only reads"),
            })
            .collect();
        let warm = Distances::of(accesses[..warm_up].iter().copied());
        let whole = Distances::of(accesses);
        for entries in [250, 500, 2_500] {
            let hits = whole.hits(entries) - warm.hits(entries);
            let found = hits as f64 / (count - warm_up) as f64;
            let expected = closed_form(keys, exponent, entries as f64);
            let off = (found / expected - 1.0).abs();
            assert!(off < 0.01, "exponent {exponent}, {entries} entries: {found} {expected}");
        }
    }
}

#[test]
fn sequences_are_the_same_for_the_same_seed_and_others_for_workers() {
    for spec in [
        "kind = \"uniform\"\nupdates = 0.1",
        "kind = \"zipf\"\nexponent = 0.99",
        "kind = \"hot-key-storm\"\nexponent = 0.99\nshare = 0.5\nevery = 100",
        "kind = \"scan\"",
        "kind = \"ycsb\"\nworkload = \"D\"",
        "kind = \"twitter\"\ncluster = \"cluster52\"",
    ] {
        let first = draw(spec, 1_000, 500);
        assert_eq!(first, draw(spec, 1_000, 500), "{spec}");
        let worker = |number| workload(spec, 1_000).worker(number).take(500).collect::<Vec<_>>();
        assert_eq!(worker(1), worker(1), "{spec}");
        assert_ne!(worker(1), worker(2), "{spec}");
    }
}

#[test]
fn a_scan_reads_everything_once_before_anything_twice() {
    let operations = draw("kind = \"scan\"", 50, 100);
    let expected: Vec<Operation> = (1..=50).chain(1..=50).map(Operation::Read).collect();
    assert_eq!(operations, expected);
}

#[test]
fn a_storm_has_one_hot_product_after_the_other() {
    let spec = "kind = \"hot-key-storm\"\nexponent = 0.9\nshare = 0.6\nevery = 5000";
    let operations = draw(spec, 10_000, 10_000);
    for (half, hot) in [(&operations[..5_000], 10_000), (&operations[5_000..], 9_999)] {
        let share = part(half, |operation| *operation == Operation::Read(hot));
        assert!((share - 0.6).abs() < 0.03, "{hot}: {share}");
    }
}

#[test]
fn what_is_hot_in_a_storm_is_asked_for_by_nobody_before_and_by_nobody_else() {
    let spec = "kind = \"hot-key-storm\"\nexponent = 0.0\nshare = 0.5\nevery = 10";
    let all = workload(spec, 200);
    let asked = |sequence: Workload| -> Vec<u32> {
        let product = |operation| match operation {
            Operation::Read(product) => product,
            other => panic!("{other:?} of a workload that only reads"),
        };
        sequence.take(4_000).map(product).collect()
    };
    // All alike but for the storm: whoever may be asked for is, in so many requests.
    let calm = asked(all.worker(0).calm());
    assert_eq!(calm.iter().max(), Some(&180));
    let storm = asked(all.worker(1));
    let hot = storm.iter().filter(|product| **product > 180).count();
    assert!((1_850..2_150).contains(&hot), "{hot}");
    assert!(storm[..10].iter().all(|product| *product <= 180 || *product == 200), "{storm:?}");
    // A catalogue of one product has no other to be hot.
    assert_eq!(asked(workload(spec, 1))[..3], [1, 1, 1]);
}

#[test]
fn new_products_have_the_ids_that_the_catalogue_gives() {
    let made = workload("kind = \"ycsb\"\nworkload = \"D\"", 100).creating_from(501);
    let operations: Vec<Operation> = made.take(2_000).collect();
    let first = operations.iter().find(|operation| matches!(operation, Operation::Insert(_)));
    assert_eq!(first, Some(&Operation::Insert(501)));
    // Between the old ones and the new ones there are none.
    let gap = |operation: &Operation| matches!(operation, Operation::Read(101..=500));
    assert!(!operations.iter().any(gap));
}

#[test]
fn ycsb_is_mixed_as_it_is_defined() {
    let mixed = |letter: Ycsb| {
        let operations =
            draw(&format!("kind = \"ycsb\"\nworkload = \"{letter:?}\""), 1_000, 20_000);
        let of = |kind: fn(&Operation) -> bool| (part(&operations, kind) * 100.0).round() as u32;
        let read = of(|o| matches!(o, Operation::Read(_)));
        let update = of(|o| matches!(o, Operation::Update(_)));
        let insert = of(|o| matches!(o, Operation::Insert(_)));
        let scan = of(|o| matches!(o, Operation::Scan { .. }));
        let rmw = of(|o| matches!(o, Operation::ReadModifyWrite(_)));
        (operations, [read, update, insert, scan, rmw])
    };
    let defined = [
        [50, 50, 0, 0, 0],
        [95, 5, 0, 0, 0],
        [100, 0, 0, 0, 0],
        [95, 0, 5, 0, 0],
        [0, 0, 5, 95, 0],
        [50, 0, 0, 0, 50],
    ];
    for (letter, defined) in Ycsb::ALL.into_iter().zip(defined) {
        let (_, found) = mixed(letter);
        let near = found.iter().zip(defined).all(|(found, defined)| found.abs_diff(defined) <= 1);
        assert!(near, "{letter:?}: {found:?}");
    }
    // Scans have lengths from 1 to 100; new products follow the last, and are read most.
    let (scans, _) = mixed(Ycsb::E);
    let lengths: Vec<u32> = scans
        .iter()
        .filter_map(|o| if let Operation::Scan { count, .. } = o { Some(*count) } else { None })
        .collect();
    assert_eq!((lengths.iter().min(), lengths.iter().max()), (Some(&1), Some(&100)));
    let (latest, _) = mixed(Ycsb::D);
    let mut last = 1_000;
    let mut ages: HashMap<u32, u32> = HashMap::new();
    for operation in latest {
        match operation {
            Operation::Insert(id) => {
                assert_eq!(id, last + 1);
                last = id;
            }
            Operation::Read(id) => {
                assert!((1..=last).contains(&id), "{id} is not there yet");
                *ages.entry(last - id).or_default() += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let newest = f64::from(ages[&0]) / f64::from(ages.values().sum::<u32>());
    // 1 / H(1000, 0.99) = 13 %.
    assert!((0.11..0.16).contains(&newest), "{newest}");
}

#[test]
fn presets_mix_as_they_say() {
    let presets = presets();
    assert!(presets.len() >= 5);
    for preset in presets {
        assert!((preset.reads + preset.updates - 1.0).abs() < 1e-9, "{preset:?}");
        let spec = format!("kind = \"twitter\"\ncluster = \"{}\"", preset.cluster);
        let operations = draw(&spec, 1_000, 20_000);
        let updates = part(&operations, |o| matches!(o, Operation::Update(_)));
        assert!((updates - preset.updates).abs() < 0.015, "{preset:?}: {updates}");
    }
}

#[test]
fn what_cannot_work_is_named() {
    let products: Arc<[u32]> = (1..=10).collect();
    for (text, named) in [
        ("kind = \"zipf\"\nexponent = 9.0", "exponent must be"),
        ("kind = \"uniform\"\nupdates = 1.5", "updates must be"),
        ("kind = \"hot-key-storm\"\nexponent = 1.0\nshare = 0.5\nevery = 0", "every must be"),
        ("kind = \"twitter\"\ncluster = \"cluster99\"", "cluster52"),
        ("kind = \"ycsb\"\nworkload = \"G\"", "unknown variant `G`"),
        ("kind = \"uniform\"\nupdate = 0.5", "update"),
    ] {
        let made = toml::from_str::<Spec>(text)
            .map_err(anyhow::Error::from)
            .and_then(|spec| Workload::new(&spec, Arc::clone(&products), 7).map(|_| ()));
        let message = format!("{:#}", made.expect_err(text));
        assert!(message.contains(named), "{message}");
    }
    assert!(Workload::new(&Spec::Scan {}, Arc::new([]), 7).is_err());
}
