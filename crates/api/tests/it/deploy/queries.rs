//! Every query of a dashboard and of a rule, against a Prometheus that scrapes two replicas at work.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use larder_stack::Topology;
use larder_stack::testing::{self, skip_without_servers};
use serde_json::{Value, json};

use super::servers::{Balancer, client};
use super::{Running, repository, succeeds, text, tool, yaml};
use crate::support::{KEY, eventually, service_on};

/// How long all answers may take to come.
const PATIENCE: Duration = Duration::from_secs(100);

/// One query, and where it is written.
struct Query {
    place: String,
    expression: String,
}

fn dashboards() -> Vec<Value> {
    let folder = std::fs::read_dir(repository("deploy/grafana/dashboards")).expect("dashboards");
    let files = folder.map(|file| file.expect("a file").path());
    files
        .map(|file| {
            let text = std::fs::read_to_string(&file).expect("it is read");
            serde_json::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        })
        .collect()
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

/// The rules of `file`, recorded or alerts.
fn rules(file: &str) -> Vec<Value> {
    let file = yaml(&format!("deploy/prometheus/rules/{file}"));
    let groups = file["groups"].as_array().expect("groups");
    groups.iter().flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
}

fn queries() -> Vec<Query> {
    let mut all = Vec::new();
    for dashboard in dashboards() {
        for panel in panels(&dashboard) {
            for target in panel["targets"].as_array().expect("targets") {
                let expression = target["expr"].as_str().expect("a query");
                all.push(Query {
                    place: format!("{} / {}", dashboard["title"], panel["title"]),
                    expression: expression.replace("$__rate_interval", "20s"),
                });
            }
        }
    }
    for rule in rules("recorded.yml") {
        let expression = rule["record"].as_str().expect("a name").to_owned();
        all.push(Query { place: "recorded.yml".to_owned(), expression });
    }
    for rule in rules("alerts.yml") {
        // What is compared: the alert itself has no answer in good times.
        let whole = rule["expr"].as_str().expect("a query");
        let (value, limit) = whole
            .rsplit_once(" > ")
            .filter(|(_, limit)| limit.parse::<f64>().is_ok())
            .or_else(|| whole.rsplit_once(" < "))
            .unwrap_or_else(|| panic!("{whole} compares nothing"));
        assert!(limit.parse::<f64>().is_ok(), "{whole} is not compared with a number");
        let place = rule["alert"].as_str().expect("a name").to_owned();
        all.push(Query { place, expression: value.to_owned() });
    }
    all
}

/// A Prometheus of the test's own, with the settings of `deploy/` but for addresses and intervals.
struct Prometheus {
    url: String,
    client: reqwest::Client,
    _program: Running,
}

impl Prometheus {
    fn start(program: &Path, folder: &Path, replicas: &[&str], balancer: &str) -> Self {
        let mut settings = yaml("deploy/prometheus/prometheus.yml");
        settings["global"] = json!({ "scrape_interval": "1s", "evaluation_interval": "1s" });
        settings["rule_files"] = json!([repository("deploy/prometheus/rules/*.yml")]);
        let addresses: Vec<_> =
            replicas.iter().map(|url| url.trim_start_matches("http://")).collect();
        let jobs = settings["scrape_configs"].as_array_mut().expect("jobs");
        // The collector does not run here.
        jobs.retain(|job| job["job_name"] != "otlp");
        assert_eq!(jobs.len(), 2, "each job has an address here");
        for job in jobs {
            let here = match job["job_name"].as_str() {
                Some("catalog-api") => json!(addresses),
                Some("haproxy") => json!([balancer]),
                other => panic!("no address for {other:?}"),
            };
            job["static_configs"] = json!([{ "targets": here }]);
        }
        let file = folder.join("prometheus.yml");
        // JSON is YAML, too.
        std::fs::write(&file, settings.to_string()).expect("it is written");
        let port = testing::free_ports(1);
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.join("data").display()));
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let program = Running::start(&mut command);
        Self { url: format!("http://127.0.0.1:{port}"), client: client(), _program: program }
    }

    /// What `path` answers to `query`; `None` where it is refused.
    async fn ask(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", self.url), query);
        let answer = self.client.get(url.expect("a URL")).send().await.ok()?;
        let answer: Value = serde_json::from_slice(&answer.bytes().await.ok()?).ok()?;
        (answer["status"] == "success").then(|| answer["data"].clone())
    }

    /// Whether `expression` has an answer that is a number.
    async fn answers(&self, expression: &str) -> bool {
        let data = self.ask("/api/v1/query", &[("query", expression)]).await;
        let found = data.and_then(|data| data["result"].as_array().cloned()).unwrap_or_default();
        found.iter().any(|series| series["value"][1].as_str().is_some_and(|value| value != "NaN"))
    }
}

/// Reads and writes through the balancer and to each replica, until told to stop.
async fn load(urls: Vec<String>, stop: Arc<AtomicBool>) {
    let client = client();
    let mut round: u64 = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        for url in &urls {
            let id = round % 40 + 1;
            for path in [format!("/products/{id}"), format!("/products/{id}/summary")] {
                // Some fail once Redis has gone; what they leave behind is what is asked for.
                let _ = client.get(format!("{url}{path}")).send().await;
            }
            if round.is_multiple_of(5) {
                let body = json!({ "price": { "minor": 1000 + round, "currency": "EUR" } });
                let request = client.patch(format!("{url}/products/{id}"));
                let request = request.header("content-type", "application/json").bearer_auth(KEY);
                let _ = request.body(body.to_string()).send().await;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn every_query_has_an_answer_while_the_service_works() {
    let test = "every_query_has_an_answer_while_the_service_works";
    let Some(program) = tool("prometheus", test) else { return };
    if skip_without_servers(test) {
        return;
    }
    let redis = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let settings = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "write-behind"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "l1+l2"),
        ("NAMESPACES__PRODUCT_SUMMARY__STRATEGY", "read-through"),
        ("NAMESPACES__PRODUCT_SUMMARY__TIERS", "l1+l2"),
        ("VERIFY__SAMPLE", "1.0"),
    ];
    let mut service = service_on(redis, &settings).await;
    let second = service.another().await;
    let folder = tempfile::tempdir().expect("a folder");
    let replicas = [service.url.as_str(), second.url.as_str()];
    let Some(balancer) = Balancer::start(folder.path(), replicas, test).await else { return };
    let prometheus = Prometheus::start(&program, folder.path(), &replicas, &balancer.metrics);
    let urls = vec![balancer.url.clone(), service.url.clone(), second.url.clone()];
    let stop = Arc::new(AtomicBool::new(false));
    let working = tokio::spawn(load(urls, Arc::clone(&stop)));

    let mut waiting = queries();
    assert!(waiting.len() > 80, "{} queries were found: the search is broken", waiting.len());
    let deadline = Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        let mut left = Vec::new();
        for query in waiting {
            if !prometheus.answers(&query.expression).await {
                left.push(query);
            }
        }
        waiting = left;
        let names: Vec<_> =
            waiting.iter().map(|query| format!("{}: {}", query.place, query.expression)).collect();
        assert!(Instant::now() < deadline, "without an answer:\n{}", names.join("\n"));
        tokio::time::sleep(Duration::from_secs(1)).await;
    }

    let names = prometheus.ask("/api/v1/label/__name__/values", &[]).await.expect("names");
    let shown: String = dashboards().iter().map(Value::to_string).collect();
    for name in names.as_array().expect("names").iter().filter_map(Value::as_str) {
        let ours = ["larder_", "db_client_", "process_", "tokio_"];
        let ours = ours.iter().any(|start| name.starts_with(start));
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        assert!(!ours || shown.contains(base.unwrap_or(name)), "no dashboard shows {name}");
    }

    // In bad times the alert is there.
    let breaker = rules("alerts.yml").into_iter().find(|rule| rule["alert"] == "LarderBreakerOpen");
    let breaker = breaker.expect("the alert")["expr"].as_str().expect("a query").to_owned();
    assert!(!prometheus.answers(&breaker).await, "{breaker}");
    service.redis.stop_all().await;
    eventually(Duration::from_secs(60), "the open breakers are seen", async || {
        prometheus.answers(&breaker).await
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    working.await.expect("no panic");
}

#[test]
fn prometheus_accepts_its_settings_and_each_alert_fires() {
    let test = "prometheus_accepts_its_settings_and_each_alert_fires";
    let Some(promtool) = tool("promtool", test) else { return };
    let run = |words: &[&str]| {
        let mut command = Command::new(&promtool);
        succeeds(command.args(words).current_dir(repository("deploy/prometheus")))
    };
    run(&["check", "config", "prometheus.yml"]);
    run(&["test", "rules", "tests.yml"]);
    let tests = text("deploy/prometheus/tests.yml");
    for rule in rules("alerts.yml") {
        let name = rule["alert"].to_string();
        assert!(tests.contains(&format!("alertname={name}")), "no test lets {name} fire");
    }
}

#[test]
fn dashboards_fit_grafana_and_one_another() {
    let sources = yaml("deploy/grafana/provisioning/datasources/datasources.yaml");
    let sources = sources["datasources"].as_array().expect("data sources");
    let mut uids = Vec::new();
    for dashboard in dashboards() {
        uids.push(dashboard["uid"].as_str().expect("an id").to_owned());
        let mut places: Vec<[i64; 4]> = Vec::new();
        for (index, panel) in panels(&dashboard).iter().enumerate() {
            let name = format!("{} / {}", dashboard["title"], panel["title"]);
            assert_eq!(panel["id"], index + 1, "{name}");
            for source in [&panel["datasource"], &panel["targets"][0]["datasource"]] {
                let known = sources
                    .iter()
                    .any(|known| known["uid"] == source["uid"] && known["type"] == source["type"]);
                assert!(known, "{name} asks {source}");
            }
            let place =
                ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_i64().expect("a number"));
            let [x, y, w, h] = place;
            assert!(x + w <= 24, "{name} is too far to the right");
            let apart = |[ox, oy, ow, oh]: &[i64; 4]| {
                x + w <= *ox || ox + ow <= x || y + h <= *oy || oy + oh <= y
            };
            assert!(places.iter().all(apart), "{name} lies over another panel");
            places.push(place);
        }
    }
    uids.sort();
    assert_eq!(
        uids,
        ["larder-cache", "larder-coherence", "larder-database", "larder-overview", "larder-writes"]
    );
}
