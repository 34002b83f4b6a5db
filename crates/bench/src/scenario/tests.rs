use super::*;

#[test]
fn the_built_in_scenarios_are_valid_and_say_whether_they_are_quick() {
    let scenario = Scenario::product_page();
    assert_eq!(scenario.strategies[1], Contender::cache_aside());
    let rounds = |scenario: &Scenario| scenario.ratios.map_or(0, |ratios| ratios.rounds);
    assert!(rounds(&scenario) >= 7 && rounds(&scenario.quick()) >= 7);
    let (quick, full) = (Scenario::strategies(true), Scenario::strategies(false));
    assert!(quick.quick && !full.quick);
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
    assert!(read >= 7, "{read}");
}

#[test]
fn faults_are_named_with_file_line_and_what_would_be_right() {
    let faults = [
        (PRODUCT_PAGE, "view = \"product-page\"", "view = \"page\"", "product-summary"),
        (PRODUCT_PAGE, "seed = 7", "sede = 7", "sede"),
        (PRODUCT_PAGE, "connections = 64", "connections = 0", "load.connections must be from 1"),
        (PRODUCT_PAGE, "exponent = 1.0", "exponent = -1.0", "exponent must be from 0 to 5"),
        (PRODUCT_PAGE, "[0.25,", "[0.0,", "curve.fractions must each"),
        (PRODUCT_PAGE, "rounds = 9", "rounds = 0", "ratios.rounds must be"),
        (
            PRODUCT_PAGE,
            "warm_up_seconds = 20",
            "warm_up_seconds = nan",
            "curve.warm_up_seconds must",
        ),
        (QUICK, "strategy = \"ttl\"", "strategy = \"magic\"", "strategies.strategy must be one of"),
        (QUICK, "repeats = 3", "repeats = 0", "matrix.repeats must be"),
        (QUICK, "replicas = [2]", "replicas = [9]", "matrix.replicas must be"),
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
