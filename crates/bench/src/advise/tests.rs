use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;
use larder_stack::testing::data_file;

use super::*;
use crate::trace::BadData;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: AdviseArgs,
}

fn args(log: &Path, more: &[&str]) -> AdviseArgs {
    let log = log.to_str().expect("UTF-8");
    let all = ["advise", log].into_iter().chain(more.iter().copied());
    Cli::try_parse_from(all).expect("arguments").args
}

fn advice(log: &Path, more: &[&str]) -> Advice {
    let args = args(log, more);
    let input = Input::read(&args).expect("reads");
    analyse(&input, &args, "larder-bench advise <LOG>".to_owned(), Instant::now())
}

/// What cannot be used, and whether that is the data's fault.
fn refused(log: &Path, more: &[&str]) -> (String, bool) {
    let error = Input::read(&args(log, more)).map(|_| ()).expect_err("refused");
    (format!("{error:#}"), error.is::<BadData>())
}

fn file(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    let mut file = std::fs::File::create(&path).expect("a file");
    file.write_all(text.as_bytes()).expect("writes");
    path
}

/// A hundred seconds: of 40 pages, one is read every 100 ms, the first ones more often; page 0
/// is changed every ten seconds.
fn log(folder: &Path) -> PathBuf {
    let mut text = String::from("time,key,op,bytes,cost\n");
    for step in 0..1_000_u32 {
        let page = (step * step + step / 7) % 40;
        let (page, op) = if step % 100 == 99 { (0, "write") } else { (page, "read") };
        let bytes = 400 + page * 10;
        text += &format!("{},/p/{page},{op},{bytes},2.5\n", f64::from(step) / 10.0);
    }
    file(folder, "log.csv", &text)
}

#[test]
fn figures_agree_with_one_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let found = advice(&log(folder.path()), &["--ttl", "1s,10s,1h", "--replicas", "2"]);
    let (reads, writes) = (found.traffic.reads, found.traffic.writes);
    assert_eq!((reads, writes), (990, 10));
    let row = |name: &str, ttl: Option<u64>| {
        let found =
            found.strategies.iter().find(|row| row.strategy.contains(name) && row.ttl_ms == ttl);
        found.unwrap_or_else(|| panic!("{name} {ttl:?}"))
    };
    assert_eq!((row("none", None).queries, row("none", None).saved), (1_000, 0.0));
    let through = row("read-through", None);
    assert_eq!((through.demand.loads, through.floor), (found.floor.loads(), found.floor.loads()));
    assert_eq!(through.queries, found.floor.loads() + writes);
    assert_eq!(row("write-through", None).demand.publishing_loads, writes);
    assert!(
        row("read-through", Some(1_000)).demand.loads
            > row("read-through", Some(10_000)).demand.loads
    );
    assert!(row("ttl", Some(10_000)).demand.stale_answers > 0);
    assert!(
        row("refresh-ahead", Some(1_000)).demand.loads
            <= row("read-through", Some(1_000)).demand.loads
    );
    // An hour is longer than the log.
    assert!(found.strategies.iter().all(|row| row.ttl_ms != Some(3_600_000)));
    let busy = row("none", None).busy_connections.expect("costs and times are known");
    assert!((busy - 990.0 * 2.5e-3 / 99.9).abs() < 1e-3, "{busy}");
    assert_eq!(row("none", None).busiest_per_s, Some(10.0));
    let tier = |name: &str| {
        let row = found.tiers.iter().find(|row| row.tiers == name).expect(name);
        (row.loads, row.redis_reads)
    };
    assert_eq!((tier("none"), tier("l2")), ((reads, 0), (found.floor.loads(), reads)));
    assert_eq!((tier("l1").0, tier("l1+l2").0), (tier("l1+l2").1, tier("l2").0));
    assert!(tier("l1").0 >= tier("l2").0, "two processes load at least as much as one");
    assert_eq!(found.hot_keys.iter().map(|key| key.writes).sum::<u64>(), writes);
    assert!(found.hot_keys.is_sorted_by(|a, b| a.reads >= b.reads));
}

#[test]
fn what_is_recommended_can_be_loaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = log(folder.path());
    let once =
        file(folder.path(), "once.csv", &(0..500).map(|n| format!("{n}\n")).collect::<String>());
    let cases: [(&Path, &[&str], &str); 3] = [
        (&log, &[], "product-page"),
        (&log, &["--namespace", "product-summary", "--target", "0.999"], "product-summary"),
        (&once, &[], "product-page"),
    ];
    for (log, more, namespace) in cases {
        let found = advice(log, more);
        let out = folder.path().join("out");
        write(&found, &out).expect("writes");
        let config = catalog_api::config::load(&out.join("larder.toml"), true, std::iter::empty());
        let config =
            config.unwrap_or_else(|error| panic!("{error}\n{}", found.recommendation.toml));
        let settings = serde_json::to_value(&config).expect("settings have a JSON form");
        let settings = &settings["namespaces"][namespace];
        let chosen = &found.recommendation;
        assert_eq!(settings["strategy"], chosen.strategy.as_str());
        assert_eq!(settings["tiers"], chosen.tiers.as_str());
        if chosen.l1_capacity_bytes > 0 {
            assert_eq!(settings["l1_capacity_bytes"], chosen.l1_capacity_bytes);
            assert_eq!(settings["l1_eviction"], chosen.l1_eviction.as_str());
        }
        if let Some(ttl) = chosen.ttl_ms {
            assert_eq!(settings["ttl_ms"], ttl);
        }
        assert!(!chosen.reasons.is_empty());
    }
    // Nothing is read twice: there is nothing to cache.
    assert_eq!(advice(&once, &[]).recommendation.strategy, "none");
    assert_eq!(advice(&log, &[]).recommendation.strategy, "read-through");
}

#[test]
fn the_page_is_one_file_that_escapes_what_it_shows() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "key\n<b>x</b>\n<b>x</b>\n<script>\n<script>\n";
    let found = advice(&file(folder.path(), "odd.csv", text), &["--rate", "2"]);
    let html = page::page(&found).into_string();
    for dangerous in ["<script", "<b>", "http://", "https://", "url(", "@import"] {
        assert!(!html.contains(dangerous), "{dangerous}");
    }
    for shown in [
        "&lt;script&gt;",
        "<svg",
        "w-tinylfu",
        "strategy = ",
        "Hot keys",
        "2 steps a second",
        "Postgres gets 2.7 queries a second",
    ] {
        assert!(html.contains(shown), "{shown}");
    }
    let said = super::text(&found);
    for shown in ["4 reads of 2 keys", "cache-aside, read-through", "s3-fifo", "It took"] {
        assert!(said.contains(shown), "{shown}: {said}");
    }
}

#[test]
fn what_was_given_beside_the_log_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = file(folder.path(), "log.csv", "time,key\n1,/p/a\n2,/p/a\n4,/p/a\n5,/q/b\n6,/p/c\n");
    let writes = file(folder.path(), "writes.csv", "time,key,op\n3,/p/a,write\n3.5,/q/b,write\n");
    let costs = file(folder.path(), "costs.csv", "key,cost\n/p/a,4\n/p/a,6\n/q/b,1\n");
    let [writes, costs] = [&writes, &costs].map(|path| path.to_str().expect("UTF-8"));
    let found = advice(&log, &["--writes", writes, "--query-cost", costs]);
    assert_eq!((found.traffic.reads, found.traffic.writes, found.floor.loads()), (5, 2, 4));
    // a: 5 ms three times, b: 1 ms; c has no cost of its own: the mean of the two.
    assert_eq!(found.traffic.query_ms, Some((3.0 * 5.0 + 1.0 + 3.0) / 5.0));
    let found = advice(&log, &["--writes", writes, "--query-cost", "2", "--only", "/p/"]);
    assert_eq!((found.traffic.reads, found.traffic.writes, found.traffic.keys), (4, 1, 2));
    assert_eq!(found.traffic.query_ms, Some(2.0));

    let untimed = file(folder.path(), "untimed.csv", "key\n/p/a\n/p/a\n");
    let strangers = file(folder.path(), "strangers.csv", "key,cost\n/z,4\n");
    let strangers = strangers.to_str().expect("UTF-8");
    let log_name = log.to_str().expect("UTF-8");
    let cases: [(&Path, &[&str], &str, bool); 7] = [
        (&untimed, &["--writes", writes], "tells no times", false),
        (&log, &["--rate", "5"], "--rate is for logs without times", false),
        (&log, &["--query-cost", "-3"], "--query-cost must be above 0", false),
        (&log, &["--query-cost", "no-such.csv"], "no-such.csv", false),
        (&log, &["--query-cost", strangers], "none of its keys", true),
        (&log, &["--writes", log_name], "op must say write", true),
        (&log, &["--only", "/nothing"], "no reads of keys that begin with /nothing", true),
    ];
    for (log, more, named, bad_data) in cases {
        let (message, is_bad_data) = refused(log, more);
        assert!(message.contains(named), "{message}");
        assert_eq!(is_bad_data, bad_data, "{message}");
    }
}

#[test]
fn the_recorded_pages_are_advised_as_they_are_known() {
    let test = "the_recorded_pages_are_advised_as_they_are_known";
    let Some(log) = data_file(test, "traces/web07.trace.xz") else { return };
    let found = advice(&log, &["--l1-sizes", "4MiB"]);
    assert_eq!((found.floor.loads(), found.traffic.reads), (20_484, 76_118));
    assert!((found.ceiling - 0.731).abs() < 0.000_5, "{}", found.ceiling);
    assert!((found.top_1_percent - 0.368).abs() < 0.001, "{}", found.top_1_percent);
    let last = found.l1.lru.last().expect("a curve");
    assert_eq!((last.entries, last.hit_ratio.value), (20_484, found.ceiling));
}
