//! `larder load`: what it sends, what it says, and how it ends.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use larder_stack::testing::skip_without_servers;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{KEY, Service, eventually, service};
use crate::telemetry::metric;

const PATIENCE: Duration = Duration::from_secs(60);

fn load(api: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_larder"));
    command.args(["--api", api, "load"]).args(arguments).env("ADMIN_KEY", KEY);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn output(mut command: Command) -> Output {
    let run = tokio::task::spawn_blocking(move || command.output().expect("the program runs"));
    run.await.expect("the program runs")
}

async fn requests(service: &Service, labels: &[&str]) -> f64 {
    metric(service, "http_server_request_duration_seconds_count", labels).await
}

#[tokio::test]
async fn it_reads_and_writes_tells_each_second_and_ends_by_itself() {
    if skip_without_servers("it_reads_and_writes_tells_each_second_and_ends_by_itself") {
        return;
    }
    let none = [
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "none"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "none"),
    ];
    let service = service(&none).await;
    let arguments = ["--rate", "50", "--seconds", "3", "--products", "100", "--writes", "100"];
    let ended = output(load(&service.url, &arguments)).await;
    let text = String::from_utf8(ended.stdout).expect("UTF-8");
    assert!(ended.status.success(), "{text} {}", String::from_utf8_lossy(&ended.stderr));
    let seconds: Vec<&str> = text.lines().filter(|line| line.contains(" requests/s")).collect();
    assert_eq!(seconds.len(), 3, "{text}");
    assert!(seconds.iter().all(|line| line.contains(" database queries/s")), "{text}");
    let summary = text.lines().last().expect("a summary");
    assert!(summary.contains(" for 100 requests), 0 errors"), "{text}");

    let read = requests(&service, &["http_route=\"/products/{id}\"", "\"GET\""]).await;
    let written = requests(&service, &["http_route=\"/products/{id}\"", "\"PATCH\""]).await;
    assert!(read > 0.0 && written > 0.0 && read > written, "{read} {written}");
    // No more than the rate, whatever the machine; the last may be sent at the very end.
    assert!(read + written <= 160.0, "{read} {written}");
    let told: f64 = summary.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!(told > 0.0 && told <= read + written, "{text}");
}

#[tokio::test]
async fn an_interrupt_ends_it_with_a_summary() {
    if skip_without_servers("an_interrupt_ends_it_with_a_summary") {
        return;
    }
    let service = service(&[]).await;
    let child = load(&service.url, &["--rate", "20", "--seconds", "3600"]).spawn();
    let child = child.expect("the program starts");
    eventually(PATIENCE, "the load has begun", async || {
        requests(&service, &["http_route=\"/products/{id}\""]).await > 0.0
    })
    .await;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::INT).expect("the process is ours");
    let ended = tokio::task::spawn_blocking(|| child.wait_with_output());
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("it ends");
    let ended = ended.expect("it is waited for").expect("it ends");
    let text = String::from_utf8(ended.stdout).expect("UTF-8");
    assert!(ended.status.success(), "{text} {}", String::from_utf8_lossy(&ended.stderr));
    assert!(text.lines().last().is_some_and(|line| line.contains(" requests in ")), "{text}");
}

#[tokio::test]
async fn where_nobody_listens_it_says_so_and_sends_nothing() {
    let ended = output(load("http://127.0.0.1:9", &[])).await;
    assert_eq!(ended.status.code(), Some(69), "{ended:?}");
    let error = String::from_utf8_lossy(&ended.stderr);
    assert!(error.contains("127.0.0.1:9 does not answer"), "{error}");
    for wrong in [["--rate", "0"], ["--rate", "100000"], ["--seconds", "0"], ["--exponent", "-1"]] {
        let ended = output(load("http://127.0.0.1:9", &wrong)).await;
        assert_eq!(ended.status.code(), Some(2), "{wrong:?} {ended:?}");
    }
}
