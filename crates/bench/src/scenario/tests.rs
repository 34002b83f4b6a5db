use super::*;
use crate::workload::{Spec, Ycsb};

#[test]
fn the_built_in_scenarios_are_valid_and_say_whether_they_are_quick() {
    let (quick, full) = (Scenario::product_page(true), Scenario::product_page(false));
    assert!(quick.quick && !full.quick);
    assert_eq!((&quick.strategies, quick.view), (&full.strategies, full.view));
    assert_eq!(full.strategies[1], Contender::cache_aside());
    let rounds = |scenario: &Scenario| scenario.ratios.map_or(0, |ratios| ratios.rounds);
    assert!(rounds(&full) >= 7 && rounds(&quick) >= 7);
    let repeats = |scenario: &Scenario| scenario.curve.as_ref().map_or(0, |curve| curve.repeats);
    assert!(repeats(&quick) >= 3);
    assert!(repeats(&full) as usize >= crate::results::REPEATS_FOR_A_CLAIM);
    let (quick, full) = (Scenario::strategies(true), Scenario::strategies(false));
    assert!(quick.quick && !full.quick);
    for scenario in [&quick, &full] {
        assert_eq!(scenario.strategies.iter().filter(|one| one.headline).count(), 1);
    }
    let repeats = full.matrix.map_or(0, |matrix| matrix.repeats);
    assert!(repeats as usize >= crate::results::REPEATS_FOR_A_CLAIM);
}

#[test]
fn every_scenario_that_is_checked_in_can_be_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut read = 0;
    for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
        let name = entry.file_name().into_string().expect("UTF-8");
        if name == "step-by-step.toml" {
            crate::guide::Guide::read(&entry.path()).expect("a valid guide");
        } else {
            let text = std::fs::read_to_string(entry.path()).expect("reads");
            Scenario::parse(&name, &text).expect("a valid scenario");
        }
        read += 1;
    }
    assert!(read >= 10, "{read}");
}

#[test]
fn every_kind_of_workload_is_in_a_scenario_that_is_checked_in() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/workloads.toml");
    let scenario = Scenario::read(&file).expect("a valid scenario");
    let kinds: Vec<&Spec> = scenario.workloads.iter().map(|one| &one.requests).collect();
    let has = |of: fn(&Spec) -> bool| kinds.iter().any(|kind| of(kind));
    assert!(has(|kind| matches!(kind, Spec::Uniform { .. })));
    assert!(has(|kind| matches!(kind, Spec::Zipf { .. })));
    assert!(has(|kind| matches!(kind, Spec::HotKeyStorm { .. })));
    assert!(has(|kind| matches!(kind, Spec::Scan {})));
    assert!(has(|kind| matches!(kind, Spec::Twitter { .. })));
    for workload in Ycsb::ALL {
        assert!(kinds.contains(&&Spec::Ycsb { workload }), "{workload:?}");
    }
}

/// What their comments, the Makefile and README.md say of how long they take: the loads, and what it takes to
/// start and end processes around them.
#[test]
fn scenarios_take_no_longer_than_is_said_of_them() {
    // Seconds of a run beside its loads, and of connecting a thousand connections.
    let (around, connecting) = (4.0, 0.25);
    for (file, minutes) in [
        ("memory-or-distributed.toml", 75.0),
        ("users-distributed.toml", 25.0),
        ("workloads.toml", 20.0),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(file);
        let scenario = Scenario::read(&path).expect("a valid scenario");
        let matrix = scenario.matrix.expect("it has one");
        let mut seconds = 0.0;
        for contender in &scenario.strategies {
            let cached = contender.tiers != "none";
            let event = matrix.event_seconds.unwrap_or(matrix.seconds);
            let events = if cached { 3.0 * matrix.events.len() as f64 * event } else { 0.0 };
            for (replicas, level) in matrix
                .replicas
                .iter()
                .flat_map(|n| matrix.levels().into_iter().map(move |l| (n, l)))
            {
                let events = if matches!(level, Level::Rate(_)) { events } else { 0.0 };
                let users = if let Level::Users(users) = level { users } else { 0 };
                let filling = if matrix.fill { 3.0 } else { 0.0 };
                let connect = f64::from(users * replicas) / 1e3 * connecting;
                let loads = matrix.warm_up_seconds + matrix.seconds + events;
                seconds += around + filling + connect + loads;
            }
        }
        seconds *= f64::from(matrix.repeats) * scenario.workloads.len() as f64;
        assert!(seconds <= minutes * 60.0, "{file}: {:.1} minutes", seconds / 60.0);
    }
}

#[test]
fn what_could_not_be_told_apart_is_refused() {
    let strategy = "\n[[strategies]]\nstrategy = \"read-through\"\ntiers = \"l1+l2\"\n";
    let refused = |more: &str| Scenario::parse("file.toml", &format!("{QUICK}{more}"));
    let message = refused(strategy).expect_err("the same").to_string();
    assert!(message.contains("strategies.strategy must differ from each other"), "{message}");
    let headline = format!("{strategy}headline = true\n");
    let message = refused(&headline).expect_err("it is called the same").to_string();
    assert!(message.contains("strategies.strategy must differ from each other"), "{message}");
    refused(&format!("{strategy}l1_ttl_ms = 500\n")).expect("another life in L1 is another cell");
    let workload =
        "\n[[workloads]]\nrequests = { kind = \"zipf\", exponent = 1.0, updates = 0.0499 }\n";
    let message = refused(workload).expect_err("it is called the same").to_string();
    assert!(message.contains("Zipf 1, 5 % writes is there twice"), "{message}");
    // What differs by less than one is another load, and is called so.
    let (one, other) = (Level::Rate(500.0), Level::Rate(500.25));
    assert_eq!([one.label(), other.label()], ["500/s", "500.25/s"]);
}

#[test]
fn the_verdict_is_about_one_strategy_and_not_about_the_one_to_beat() {
    let first = "tiers = \"none\"\n";
    let refused = |text: &str| Scenario::parse("file.toml", text).expect_err("refused").to_string();
    let two = QUICK.replace(first, &format!("{first}headline = true\n"));
    assert!(refused(&two).contains("strategies.headline must be true of one"), "{}", refused(&two));
    let named = "\nheadline = true\n";
    let first = QUICK.replace(named, "\n").replace(first, &format!("{first}headline = true\n"));
    assert!(refused(&first).contains("must not be true of the first"), "{}", refused(&first));
}

#[test]
fn more_requests_than_memory_can_hold_are_refused_with_the_remedy() {
    let long = QUICK.replace("\nseconds = 4", "\nseconds = 3600").replace("[500]", "[1e6]");
    let message = Scenario::parse("file.toml", &long).expect_err("too many").to_string();
    let line = long.lines().position(|line| line.starts_with("rates")).expect("a key") + 1;
    assert!(message.starts_with(&format!("file.toml:{line}: matrix.rates times")), "{message}");
    assert!(
        message.contains("3600000000 requests") && message.contains("a lower rate"),
        "{message}"
    );
    let warm = QUICK.replace("warm_up_seconds = 6", "warm_up_seconds = 3600");
    let stated = warm.replace("warm_up_rate = 1000", "warm_up_rate = 5000");
    let message = Scenario::parse("file.toml", &stated).expect_err("too many").to_string();
    let expected = "matrix.warm_up_rate times matrix.warm_up_seconds is 18000000";
    assert!(message.contains(expected), "{message}");
    let as_measured = warm.replace("warm_up_rate = 1000", "").replace("[500]", "[5000]");
    let message = Scenario::parse("file.toml", &as_measured).expect_err("too many").to_string();
    assert!(message.contains("matrix.rates times matrix.warm_up_seconds is 18000000"), "{message}");
}

#[test]
fn faults_are_named_with_file_line_and_what_would_be_right() {
    let faults = [
        (PRODUCT_PAGE, "view = \"product-page\"", "view = \"page\"", "product-summary"),
        (PRODUCT_PAGE, "seed = 7", "sede = 7", "sede"),
        (PRODUCT_PAGE, "connections = 64", "connections = 0", "load.connections must be from 1"),
        (PRODUCT_PAGE, "exponent = 1.0", "exponent = -1.0", "exponent must be from 0 to 5"),
        (PRODUCT_PAGE, "[0.25,", "[0.0,", "curve.fractions must each"),
        (PRODUCT_PAGE, "repeats = 6", "repeats = 0", "curve.repeats must be from 1"),
        (PRODUCT_PAGE, "rounds = 9", "rounds = 0", "ratios.rounds must be"),
        (
            PRODUCT_PAGE,
            "warm_up_seconds = 5",
            "warm_up_seconds = nan",
            "curve.warm_up_seconds must",
        ),
        (QUICK, "strategy = \"ttl\"", "strategy = \"magic\"", "strategies.strategy must be one of"),
        (QUICK, "repeats = 3", "repeats = 0", "matrix.repeats must be"),
        (QUICK, "rates = [500]", "rates = [2500001.0]", "matrix.rates must each be from 1"),
        (
            QUICK,
            "rates = [500]",
            "rates = [500, 500.0]",
            "matrix.rates must differ from each other: 500",
        ),
        (QUICK, "replicas = [2]", "replicas = [9]", "matrix.replicas must be"),
        (QUICK, "warm_up_rate = 1000", "warm_up_rate = 0", "matrix.warm_up_rate must be from 1"),
        (
            QUICK,
            "no_errors = true",
            "except = [\"none/l2\"]",
            "must.except must each be one of none/none, cache-aside/l2",
        ),
    ];
    for (text, right, wrong, expected) in faults {
        let text = text.replace(right, wrong);
        let line = text.lines().position(|line| line.contains(wrong)).expect(wrong) + 1;
        let message = Scenario::parse("file.toml", &text).expect_err(wrong).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(message.starts_with("file.toml:"), "{message}");
        let named: usize = message.split(':').nth(1).and_then(|n| n.parse().ok()).expect(&message);
        // Of strategies the first has the line: which one is in the message.
        assert!(named == line || expected.starts_with("strategies."), "{message}, line {line}");
    }
}
