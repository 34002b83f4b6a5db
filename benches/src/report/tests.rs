use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;

/// A folder as Criterion leaves it.
fn leave(root: &Path, group: &str, function: Option<&str>, value: Option<&str>, median: f64) {
    let parts = [Some(group), function, value];
    let folder: std::path::PathBuf = parts.into_iter().flatten().collect();
    let folder = root.join(folder).join("new");
    fs::create_dir_all(&folder).expect("folders are made");
    let throughput = value.map(|_| serde_json::json!({ "Elements": 10 }));
    let id = serde_json::json!({
        "group_id": group, "function_id": function, "value_str": value,
        "throughput": throughput, "full_id": "", "directory_name": "", "title": "",
    });
    let estimate = |point: f64| {
        serde_json::json!({
            "confidence_interval":
                { "confidence_level": 0.95, "lower_bound": point * 0.9, "upper_bound": point * 1.1 },
            "point_estimate": point, "standard_error": 1.0,
        })
    };
    let estimates = serde_json::json!({ "mean": estimate(1.0), "median": estimate(median) });
    fs::write(folder.join("benchmark.json"), id.to_string()).expect("files are written");
    fs::write(folder.join("estimates.json"), estimates.to_string()).expect("files are written");
}

fn machine() -> Machine {
    Machine {
        cpu: "A processor".to_owned(),
        cores: 2,
        system: "Linux".to_owned(),
        rust: "rustc 1.95.0".to_owned(),
        commit: "abc".to_owned(),
    }
}

fn run() -> Vec<Measured> {
    let root = tempfile::tempdir().expect("a folder");
    leave(root.path(), "hit", Some("plain"), None, 50.0);
    leave(root.path(), "hit", Some("counted"), None, 75.0);
    leave(root.path(), "many", Some("l1"), Some("10"), 1_000.0);
    leave(root.path(), "many", Some("l2"), Some("10"), 20_000_000.0);
    measured(root.path(), SystemTime::UNIX_EPOCH).expect("is what Criterion writes")
}

#[test]
fn a_page_has_what_criterion_wrote_and_ratios_to_the_base() {
    let template = "# Title\n{{measured}}\n{{table hit | plain}}\n\n{{table many | l1}}\n";
    let page = page(template, &run(), &machine(), "2026-01-02").expect("all was measured");
    for line in [
        "# Title",
        "| date | 2026-01-02 |",
        "| processor | A processor, 2 cores |",
        "| `hit` | median | 95 % interval | ratio to `plain` |",
        "| plain | 50.0 ns | 45.0 ns to 55.0 ns | 1 |",
        // 75 / 50, 67.5 / 55, 82.5 / 45.
        "| counted | 75.0 ns | 67.5 ns to 82.5 ns | 1.50 (1.23 to 1.83) |",
        "| l1/10 | 1.00 µs | 900 ns to 1.10 µs | 100 ns | 1 |",
        "| l2/10 | 20.0 ms | 18.0 ms to 22.0 ms | 2.00 ms | 20000.00 (16363.64 to 24444.44) |",
    ] {
        assert!(page.lines().any(|other| other == line), "{line} is not in:\n{page}");
    }
}

#[test]
fn a_base_can_be_one_row_for_all() {
    let table = table(&run(), "many", "l2/10").expect("was measured");
    assert!(table.contains("| l1/10 | 1.00 µs | 900 ns to 1.10 µs | 100 ns | 0.00"), "{table}");
}

#[test]
fn what_is_missing_or_left_over_is_named() {
    let all = "{{table hit | plain}}\n{{table many | l1}}";
    for (template, expected) in [
        ("{{table hit | plain}}".to_owned(), "\"many\" was measured"),
        (format!("{all}\n{{{{table gone | x}}}}"), "line 3: nothing of the group \"gone\""),
        (all.replace("plain", "bare"), "line 1: hit: there is no \"bare\""),
        (format!("{{{{when}}}}\n{all}"), "line 1: {{when}} is no placeholder"),
    ] {
        let error = page(&template, &run(), &machine(), "").expect_err(expected);
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
}

#[test]
fn an_earlier_run_is_left_out_and_damage_is_named() {
    let root = tempfile::tempdir().expect("a folder");
    leave(root.path(), "hit", Some("plain"), None, 50.0);
    // As far away as a clock is set by mistake at most.
    let later = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 34);
    assert_eq!(measured(root.path(), later).expect("can be read"), []);
    let file = root.path().join("hit/plain/new/estimates.json");
    fs::write(&file, "{}").expect("files are written");
    let error = measured(root.path(), SystemTime::UNIX_EPOCH).expect_err("is damaged");
    assert!(error.to_string().contains("estimates.json is not what"), "{error}");
    let error = measured(&root.path().join("none"), later).expect_err("is not there");
    assert!(error.to_string().contains("none cannot be read"), "{error}");
}
