use std::path::PathBuf;

use super::*;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text() -> String {
    let file = repository().join("crates/bench/scenarios/step-by-step.toml");
    std::fs::read_to_string(file).expect("reads")
}

fn guide(text: &str) -> Result<Guide> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("guide.toml");
    std::fs::write(&file, text).expect("writes");
    Guide::read(&file)
}

fn document() -> PathBuf {
    repository().join("docs/step-by-step.md")
}

#[test]
fn the_document_is_what_its_scenario_and_its_figures_make() {
    let guide = guide(&text()).expect("valid");
    let measured = earlier(&document()).expect("reads").expect("figures are there");
    let stale = "the scenario was changed: make guide, or make guide ARGS=--render";
    let pages = pages(&guide, &measured).expect(stale);
    let read = |file: PathBuf| std::fs::read_to_string(file).expect("reads");
    assert_eq!(read(document()), pages.text, "{stale}");
    for (name, picture) in pages.pictures {
        assert_eq!(read(repository().join("docs").join(name)), picture, "{stale}");
    }
    for (number, step) in (1..).zip(&guide.steps) {
        assert!(pages.text.contains(&format!("\n## {number}. {}\n", step.name)), "{}", step.name);
    }
}

#[test]
fn the_figures_are_of_this_scenario_and_counted_twice() {
    let guide = guide(&text()).expect("valid");
    let measured = earlier(&document()).expect("reads").expect("figures are there");
    assert_eq!(measured.steps.len(), guide.steps.len());
    assert_eq!(measured.foretold.len(), guide.steps.len());
    for step in &measured.steps {
        let (calm, outage) = (&step.calm.db_queries, &step.outage.db_queries);
        assert_eq!(calm.counted, calm.pg_stat_statements, "{}", step.name);
        assert!(outage.agree(), "{}: {}", step.name, outage.both());
    }
}

#[test]
fn a_step_keeps_what_the_ones_before_have_set() {
    let guide = guide(&text()).expect("valid");
    let settings = guide.settings();
    let last = settings.last().expect("there are steps");
    for step in &guide.steps {
        assert!(step.set.keys().all(|key| last.contains_key(key)), "{}", step.name);
    }
    assert_eq!(last["tiers"].as_str(), Some("l1+l2"));
    assert_eq!(settings[0]["tiers"].as_str(), Some("none"));
}

#[test]
fn figures_of_other_settings_make_no_document() {
    let other = text().replace("jitter = 0.5", "jitter = 0.2");
    let guide = guide(&other).expect("valid");
    let measured = earlier(&document()).expect("reads").expect("figures are there");
    assert!(pages(&guide, &measured).is_none());
}

#[test]
fn faults_are_named_with_file_line_and_what_would_be_right() {
    let faults = [
        ("connections = 384", "connections = 0", "traffic.connections must be from 1"),
        ("replicas = 3", "replicas = 9", "run.replicas must be from 1 to 4"),
        (
            "cut_seconds = 3.0",
            "cut_seconds = 30.0",
            "run.cut_seconds must be above 0, and end within",
        ),
        ("every_ms = 250", "every_ms = 1", "data.products is too small"),
        ("updates = 0.01", "updats = 0.01", "updats"),
        ("ttl_ms = 5000", "ttl_ms = 0", "settings.ttl_ms must be"),
        ("watch = [\"waited\"", "watch = [\"hopes\"", "hopes"),
        ("name = \"Jitter\"", "name = \"No cache\"", "steps must have different names"),
    ];
    for (right, wrong, expected) in faults {
        let changed = text().replace(right, wrong);
        assert_ne!(changed, text(), "{right}");
        let message = guide(&changed).map(drop).expect_err(wrong).to_string();
        assert!(message.contains(expected) && message.contains("guide.toml:"), "{message}");
    }
}

#[test]
fn steps_are_chosen_by_number() {
    assert_eq!(range("3"), Ok(3..=3));
    assert_eq!(range("2-5"), Ok(2..=5));
    for wrong in ["", "0", "5-2", "a", "1-", "-3"] {
        assert!(range(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn changes_are_told_as_they_are() {
    use super::figures::{change, grouped};
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(999), "999");
    assert_eq!(change(200.0, 150.0), "−25.0 %");
    assert_eq!(change(200.0, 210.0), "+5.0 %");
    assert_eq!(change(2.0, 2.0), "the same");
    assert_eq!(change(0.0, 2.0), "from none");
    assert_eq!(change(2.0, 9.0), "4.5 times as many");
}
