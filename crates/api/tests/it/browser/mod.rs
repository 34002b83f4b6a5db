//! The dashboard in a real browser, on a real service under load.

mod driver;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use larder_stack::testing::skip_without_servers;
use rustix::process::Signal;
use serde_json::json;

use self::driver::{Browser, ENTER, TAB, skip_without_chromium};
use crate::support::{KEY, Process, Service, service};

/// What is looked at: a product page that nothing caches.
const UNCACHED: [(&str, &str); 2] =
    [("NAMESPACES__PRODUCT_PAGE__STRATEGY", "none"), ("NAMESPACES__PRODUCT_PAGE__TIERS", "none")];
/// Requests a second that are sent.
const RATE: f64 = 50.0;
/// How long it may take until figures are what they should be, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// The source of axe-core, which looks for what keeps people from using a page.
const AXE: &str = "LARDER_AXE";

/// `larder load`, until it is dropped.
struct Load(Child);

impl Load {
    fn begin(process: &Process) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
        command.args(["--api", &process.url, "--api-key", KEY, "load"]);
        let rate = RATE.to_string();
        command.args(["--rate", &rate, "--seconds", "3600", "--products", "60"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the load begins"))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn skip(test: &str) -> bool {
    skip_without_servers(test) || skip_without_chromium(test)
}

/// The service, connected to Redis, and its dashboard, live.
async fn dashboard(width: u32) -> (Service, Browser) {
    let service = service(&UNCACHED).await;
    service.connected().await;
    let browser = Browser::open(&format!("{}/", service.url), width).await;
    live(&browser).await;
    (service, browser)
}

async fn live(browser: &Browser) {
    let live = "document.getElementById('status').dataset.state === 'live' \
        && document.getElementById('requests-rate').textContent !== '–'";
    browser.until("the page is live", live).await;
}

/// Requests and queries per second, as the page's own table has them of the last ten seconds, once they
/// are as wanted.
async fn figures(browser: &Browser, what: &str, wanted: impl Fn(f64, f64) -> bool) -> (f64, f64) {
    let deadline = Instant::now() + PATIENCE;
    browser.run("document.getElementById('numbers').open = true;").await;
    loop {
        let script = "const rows = [...document.querySelectorAll('#numbers-rows tr')].slice(0, 10); \
            const mean = (column) => rows.reduce((sum, row) => \
                sum + Number(row.cells[column].textContent.replaceAll(',', '')), 0) / rows.length; \
            return [mean(1), mean(2)];";
        let rates = browser.run(script).await;
        let rate = |at: usize| rates[at].as_f64().unwrap_or_default();
        if wanted(rate(0), rate(1)) {
            browser.run("document.getElementById('numbers').open = false;").await;
            return (rate(0), rate(1));
        }
        assert!(Instant::now() < deadline, "{what}: {rates}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

async fn strategy(service: &Service) -> String {
    let cache = service.send(hyper::Method::GET, "/admin/cache", &[], "").await.json();
    let namespaces = cache["namespaces"].as_array().expect("a list");
    let page = namespaces.iter().find(|of| of["namespace"] == "product-page");
    page.expect("it is there")["strategy"].as_str().expect("a name").to_owned()
}

#[tokio::test]
async fn the_page_obeys_its_policy_and_asks_nobody_else() {
    if skip("the_page_obeys_its_policy_and_asks_nobody_else") {
        return;
    }
    let (service, browser) = dashboard(1_200).await;
    let _load = Load::begin(&service);
    figures(&browser, "the numbers move", |requests, _| requests > 0.0).await;
    browser.client.refresh().await.expect("the page loads again");
    live(&browser).await;
    assert_eq!(browser.console().await, Vec::<serde_json::Value>::new());
    let requests = browser.requests(&service.url).await;
    assert!(requests.iter().any(|url| url.ends_with("/dashboard/events")), "{requests:?}");
    for url in &requests {
        assert!(url.starts_with(&service.url), "{url} is somewhere else");
    }
    // The policy is in force, not only sent: neither a script nor a request gets past it.
    let script = "const script = document.createElement('script'); \
        try { script.textContent = 'window.broken = true'; document.body.append(script); } \
        catch (refused) { return String(window.broken); } return String(window.broken);";
    assert_eq!(browser.run(script).await, "undefined");
    let elsewhere = "const done = arguments[0]; \
        fetch('http://127.0.0.1:9/').then(() => done('sent'), (error) => done(String(error)));";
    let answer = browser.client.execute_async(elsewhere, vec![]).await.expect("it runs");
    let refused = browser.console().await;
    let by_policy = refused.iter().any(|entry| {
        entry["message"].as_str().is_some_and(|text| text.contains("Content Security Policy"))
    });
    assert!(answer != "sent" && by_policy, "{answer} {refused:?}");
}

#[tokio::test]
async fn by_keyboard_alone_a_switch_makes_the_queries_fall() {
    if skip("by_keyboard_alone_a_switch_makes_the_queries_fall") {
        return;
    }
    let (service, browser) = dashboard(1_200).await;
    let _load = Load::begin(&service);
    // As many as are sent, give or take what a busy machine leaves out.
    let sent = |requests: f64| (0.5 * RATE..1.5 * RATE).contains(&requests);
    let uncached = |requests: f64, queries: f64| sent(requests) && queries >= 0.8 * requests;
    let what = "without a cache, about a query for each request";
    figures(&browser, what, uncached).await;
    // So much that there is something to see.
    tokio::time::sleep(Duration::from_secs(25)).await;
    let before = figures(&browser, what, uncached).await;
    browser.picture("dashboard-before").await;

    browser.tab_to("namespace").await;
    browser.tab_to("strategy").await;
    browser.press("read".chars()).await;
    browser.tab_to("key").await;
    browser.press(KEY.chars()).await;
    browser.press([ENTER]).await;
    let said = "document.getElementById('answer').textContent.includes('now runs under')";
    browser.until("the answer is told", said).await;
    let answer = browser.text("answer").await;
    assert_eq!(answer, "product-page now runs under read-through in l1+l2.");
    assert_eq!(strategy(&service).await, "read-through");
    // The focus stays where it was: who cannot see the page is not lost.
    assert_eq!(browser.run("return document.activeElement.id;").await, "key");

    let fallen = |requests: f64, queries: f64| sent(requests) && queries <= before.1 / 10.0;
    figures(&browser, "with a cache, a tenth of the queries for as many requests", fallen).await;
    tokio::time::sleep(Duration::from_secs(25)).await;
    let after = figures(&browser, "and so it stays", fallen).await;
    eprintln!("requests and queries per second: {before:?} before, {after:?} after");
    let costs = browser.text("costs-rows").await;
    assert!(costs.contains("read-through, l1+l2") && costs.contains("none"), "{costs}");
    // The focus ring is no part of the picture.
    browser.run("document.activeElement.blur(); window.scrollTo(0, 0);").await;
    browser.picture("dashboard-after").await;
    browser.prefer("dark").await;
    browser.picture("dashboard-dark").await;
}

#[tokio::test]
async fn a_wrong_key_changes_nothing_and_is_not_kept() {
    if skip("a_wrong_key_changes_nothing_and_is_not_kept") {
        return;
    }
    let (service, browser) = dashboard(1_200).await;
    browser.tab_to("strategy").await;
    browser.press("ttl".chars()).await;
    for (key, kept) in [("not-the-key-at-all", false), (KEY, true)] {
        browser.tab_to("key").await;
        browser.run("document.getElementById('key').value = '';").await;
        browser.press(key.chars()).await;
        browser.press([TAB, ENTER]).await;
        let answered =
            "['done', 'refused'].includes(document.getElementById('answer').dataset.state)";
        browser.until("an answer", answered).await;
        let answer = browser.text("answer").await;
        let stored = browser.run("return sessionStorage.getItem('larder-admin-key');").await;
        if kept {
            assert_eq!((stored, strategy(&service).await), (json!(KEY), "ttl".to_owned()));
        } else {
            assert_eq!(answer, "The key was not accepted. Nothing was changed.");
            assert_eq!((stored, strategy(&service).await), (json!(null), "none".to_owned()));
            browser.picture("dashboard-wrong-key").await;
            browser.run("document.getElementById('answer').dataset.state = '';").await;
        }
    }
    // Another tab, another time: nothing of the key outlives this one, and it can be forgotten.
    assert_eq!(browser.run("return localStorage.length + document.cookie.length;").await, 0);
    browser.tab_to("forget").await;
    browser.press([ENTER]).await;
    let forgotten = "return [sessionStorage.length, document.getElementById('key').value];";
    assert_eq!(browser.run(forgotten).await, json!([0, ""]));
}

#[tokio::test]
async fn on_a_phone_and_in_the_dark_all_is_in_its_place() {
    if skip("on_a_phone_and_in_the_dark_all_is_in_its_place") {
        return;
    }
    let (service, browser) = dashboard(1_200).await;
    let _load = Load::begin(&service);
    browser.prefer("light").await;
    let ground = "return getComputedStyle(document.body).backgroundColor;";
    let light = browser.run(ground).await;
    browser.be_a_phone().await;
    figures(&browser, "the numbers move", |requests, _| requests > 0.0).await;
    browser.run("document.getElementById('numbers').open = true;").await;
    let rows = "document.querySelectorAll('#numbers-rows tr').length >= 2";
    browser.until("the table has its rows", rows).await;
    let width = "return [document.documentElement.scrollWidth, window.innerWidth];";
    assert_eq!(browser.run(width).await, json!([390, 390]), "nothing is wider than the screen");
    browser.picture("dashboard-phone-table").await;
    browser.run("document.getElementById('numbers').open = false;").await;
    browser.picture("dashboard-phone").await;
    browser.prefer("dark").await;
    let dark = browser.run(ground).await;
    assert_ne!(light, dark);
    browser.picture("dashboard-phone-dark").await;
}

#[tokio::test]
async fn every_process_has_a_row_and_their_sum_the_last_one() {
    if skip("every_process_has_a_row_and_their_sum_the_last_one") {
        return;
    }
    let (service, browser) = dashboard(1_200).await;
    let alone = "document.querySelectorAll('#processes-rows tr').length === 1";
    browser.until("the one process is there", alone).await;
    let other = service.another().await;
    let _loads = [Load::begin(&service), Load::begin(&other)];
    // Requests per second: what each has, and what both come to.
    let summed = "const rows = [...document.querySelectorAll('#processes-rows tr')]; \
        const rate = (row) => Number(row.cells[1].textContent.replaceAll(',', '')); \
        return rows.length === 3 && rate(rows[0]) > 5 && rate(rows[1]) > 5 \
            && Math.abs(rate(rows[0]) + rate(rows[1]) - rate(rows[2])) <= 1.5;";
    let deadline = Instant::now() + PATIENCE;
    while browser.run(summed).await != json!(true) {
        let rows = browser.text("processes-rows").await;
        assert!(Instant::now() < deadline, "{rows}");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let rows = browser.text("processes-rows").await;
    for part in [&service.url, &other.url].map(|url| url.trim_start_matches("http://")) {
        assert!(rows.contains(part), "{rows}");
    }
    assert!(rows.contains("this one") && rows.contains("All 2 together"), "{rows}");
    assert!(browser.text("process").await.ends_with("one of 2 processes"));
    browser.run("document.getElementById('processes-title').scrollIntoView();").await;
    browser.picture("dashboard-processes").await;
    drop(other);
    browser.until("it is gone", alone).await;
}

#[tokio::test]
async fn a_broken_stream_is_announced_and_taken_up_again() {
    if skip("a_broken_stream_is_announced_and_taken_up_again") {
        return;
    }
    let (mut service, browser) = dashboard(1_200).await;
    let lost = "document.getElementById('status').dataset.state === 'lost'";
    // Frozen: the connection stands, and nothing comes.
    service.signal(Signal::STOP);
    browser.until("silence is noticed", lost).await;
    let status = browser.client.find(fantoccini::Locator::Id("status")).await.expect("it is there");
    let role = status.attr("role").await.expect("an answer");
    assert_eq!(role.as_deref(), Some("status"), "a screen reader tells of it");
    assert!(browser.text("status").await.contains("Connection lost"));
    service.signal(Signal::CONT);
    live(&browser).await;
    // Gone.
    service.process.terminate().await;
    browser.until("the end is noticed", lost).await;
    browser.picture("dashboard-lost").await;
}

#[tokio::test]
async fn nothing_that_axe_knows_keeps_anybody_from_using_it() {
    if skip("nothing_that_axe_knows_keeps_anybody_from_using_it") {
        return;
    }
    let Ok(axe) = std::env::var(AXE) else {
        eprintln!("SKIPPED: {AXE} does not say where axe.min.js is (make test-dashboard does)");
        return;
    };
    let axe = std::fs::read_to_string(&axe).unwrap_or_else(|error| panic!("{axe}: {error}"));
    let (service, browser) = dashboard(1_200).await;
    let _load = Load::begin(&service);
    figures(&browser, "the numbers move", |requests, _| requests > 0.0).await;
    browser.run("document.getElementById('numbers').open = true;").await;
    for (screen, scheme) in
        [("desk", "light"), ("desk", "dark"), ("phone", "light"), ("phone", "dark")]
    {
        if screen == "phone" {
            browser.be_a_phone().await;
        }
        browser.prefer(scheme).await;
        // Colours are judged where nothing fades into another.
        let look = format!(
            "const done = arguments[0]; {axe}; \
             axe.run(document).then( \
                 (found) => done(found.violations.map((one) => \
                     [one.id, one.nodes.map((node) => node.failureSummary + node.html)])), \
                 (error) => done(String(error)));"
        );
        let found = browser.client.execute_async(&look, vec![]).await.expect("axe runs");
        assert_eq!(found, json!([]), "{screen}, {scheme}");
    }
}
