//! Clients that are slow, or send too much, hold a connection for as long as the settings say.

use std::time::Duration;

use hyper::StatusCode;
use larder_stack::testing::skip_without_servers;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::gate::Gate;
use crate::support::{KEY, Process, Service, service};
use crate::telemetry::metric;

/// Far above every limit that is set here.
const PATIENCE: Duration = Duration::from_secs(30);

async fn limited(settings: &[(&str, &str)]) -> Service {
    let limits = [
        ("SERVER__CLIENT_REQUEST_TIMEOUT_MS", "700"),
        ("SERVER__CLIENT_DISCONNECT_TIMEOUT_MS", "500"),
        ("SERVER__MAX_BODY_BYTES", "4096"),
    ];
    service(&[&limits[..], settings].concat()).await
}

async fn connect(process: &Process) -> TcpStream {
    let address = process.url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("connects")
}

/// Sends `first` at once and then `drop` again and again, until the service has ended the connection;
/// what it has answered.
async fn until_closed(process: &Process, first: &str, drop: &str) -> String {
    let (mut reader, mut writer) = connect(process).await.into_split();
    let (first, drop) = (first.to_owned(), drop.to_owned());
    let dripping = tokio::spawn(async move {
        // What is too large is not taken to its end.
        let _ = writer.write_all(first.as_bytes()).await;
        while !drop.is_empty() && writer.write_all(drop.as_bytes()).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
        // Open, and silent.
        sleep(PATIENCE * 2).await;
    });
    let mut answer = Vec::new();
    let read = async {
        let mut bytes = [0; 4096];
        // A reset ends it as well as an end.
        while let Ok(count @ 1..) = reader.read(&mut bytes).await {
            answer.extend_from_slice(&bytes[..count]);
        }
    };
    timeout(PATIENCE, read).await.expect("the service ends the connection");
    dripping.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn a_slow_head_is_answered_408() {
    if skip_without_servers("a_slow_head_is_answered_408") {
        return;
    }
    let service = limited(&[]).await;
    let start = "GET /products/1 HTTP/1.1\r\nhost: larder\r\nx-slow: ";
    for drop in ["", "a"] {
        let answer = until_closed(&service, start, drop).await;
        assert_eq!(status(&answer), "408", "{answer}");
    }
    // Who says nothing at all is let go, too.
    let answer = until_closed(&service, "", "").await;
    assert!(["408", ""].contains(&status(&answer)), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_one_that_nobody_reads_is_not_waited_for() {
    if skip_without_servers("a_slow_body_is_answered_408") {
        return;
    }
    let service = limited(&[]).await;
    let head = format!(
        "host: larder\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\n\
         content-length: 4000\r\n\r\n"
    );
    for drop in ["", " "] {
        let answer =
            until_closed(&service, &format!("POST /products HTTP/1.1\r\n{head}"), drop).await;
        assert_eq!(status(&answer), "408", "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        let answer =
            until_closed(&service, &format!("GET /products/1 HTTP/1.1\r\n{head}"), drop).await;
        assert_eq!(status(&answer), "200", "{answer}");
    }
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    if skip_without_servers("what_is_too_large_is_refused") {
        return;
    }
    let service = limited(&[]).await;
    let long = "a".repeat(300_000);
    let many: String = (0..200).map(|number| format!("x-{number}: 1\r\n")).collect();
    for heads in [format!("x-long: {long}\r\n"), many] {
        let request = format!("GET /products/1 HTTP/1.1\r\nhost: larder\r\n{heads}\r\n");
        let answer = until_closed(&service, &request, "").await;
        assert!(["431", ""].contains(&status(&answer)), "{answer}");
    }
    let announced = format!(
        "POST /products HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ncontent-length: 4097\r\n\r\n"
    );
    let answer = until_closed(&service, &announced, "").await;
    assert_eq!(status(&answer), "413", "{answer}");
    assert_eq!(service.get("/products/1").await.status, 200, "others are served");
}

/// A chunk of `size` bytes.
fn chunk(size: usize) -> String {
    format!("{size:x}\r\n{}\r\n", " ".repeat(size))
}

#[tokio::test]
async fn a_body_in_chunks_without_an_end_does_not_hold_its_connection() {
    if skip_without_servers("a_body_in_chunks_without_an_end_does_not_hold_its_connection") {
        return;
    }
    let service = limited(&[]).await;
    let key = format!("authorization: Bearer {KEY}\r\n");
    for (start, key, expected) in [
        ("POST /products", key.as_str(), "413"),
        ("POST /products", "", "401"),
        ("GET /products/1", "", "200"),
        ("PUT /nothing", key.as_str(), "404"),
    ] {
        // At once more than there may be, then little by little, or as much as gets through.
        for goes_on in [chunk(10), chunk(200_000)] {
            let request = format!(
                "{start} HTTP/1.1\r\nhost: larder\r\n{key}content-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n{}",
                chunk(5_000)
            );
            let answer = until_closed(&service, &request, &goes_on).await;
            assert_eq!(status(&answer), expected, "{answer}");
            assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
        }
    }
    assert_eq!(service.get("/products/1").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_body_in_chunks_that_was_read_keeps_its_connection() {
    if skip_without_servers("a_body_in_chunks_that_was_read_keeps_its_connection") {
        return;
    }
    let service = limited(&[]).await;
    let mut connection = connect(&service).await;
    let body = "{\"price\":{\"minor\":700,\"currency\":\"EUR\"}}";
    let request = format!(
        "PATCH /products/1 HTTP/1.1\r\nhost: larder\r\nauthorization: Bearer {KEY}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    for _ in 0..2 {
        connection.write_all(request.as_bytes()).await.expect("it is taken");
        let mut bytes = [0; 4096];
        let count = timeout(PATIENCE, connection.read(&mut bytes)).await.expect("an answer");
        let answer = String::from_utf8_lossy(&bytes[..count.expect("it is open")]).into_owned();
        assert_eq!(status(&answer), "200", "{answer}");
    }
}

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: larder\r\n\r\n";

/// Whether a request on this connection is answered within `patience`.
async fn is_answered(connection: &mut TcpStream, patience: Duration) -> bool {
    let mut bytes = [0; 1024];
    let read = timeout(patience, connection.read(&mut bytes)).await;
    read.is_ok_and(|read| read.is_ok_and(|count| count > 0))
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    if skip_without_servers("a_connection_that_asks_nothing_is_closed") {
        return;
    }
    let service = limited(&[("SERVER__KEEP_ALIVE_MS", "500")]).await;
    let request = std::str::from_utf8(REQUEST).expect("text");
    let answer = until_closed(&service, request, "").await;
    assert_eq!(status(&answer), "200", "{answer}");
}

#[tokio::test]
async fn more_connections_than_there_may_be_wait_for_one_to_end() {
    if skip_without_servers("more_connections_than_there_may_be_wait_for_one_to_end") {
        return;
    }
    let service = service(&[]).await;
    let limits = [("SERVER__MAX_CONNECTIONS", "4"), ("SERVER__WORKERS", "1")];
    let limited = service.another_with(&limits).await;
    let mut served = Vec::new();
    for _ in 0..4 {
        let mut connection = connect(&limited).await;
        connection.write_all(REQUEST).await.expect("it is taken");
        assert!(is_answered(&mut connection, PATIENCE).await);
        served.push(connection);
    }
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let mut connection = connect(&limited).await;
        connection.write_all(REQUEST).await.expect("the system keeps it");
        if !is_answered(&mut connection, Duration::from_millis(300)).await {
            waiting.push(connection);
        }
    }
    assert!(waiting.len() >= 7, "{} wait", waiting.len());
    // As each ends, another comes in.
    drop(served);
    for mut connection in waiting {
        assert!(is_answered(&mut connection, PATIENCE).await);
    }
    assert_eq!(service.get("/products/1").await.status, 200, "others are served");
}

#[tokio::test]
async fn what_takes_longer_than_it_may_is_answered_and_counted() {
    if skip_without_servers("what_takes_longer_than_it_may_is_answered_and_counted") {
        return;
    }
    let service = service(&[]).await;
    let gate = Gate::before(&service.database.app_url).await;
    let settings = [
        ("DATABASE__URL", &*gate.through(&service.database.app_url)),
        ("DATABASE__ACQUIRE_TIMEOUT_MS", "8000"),
        ("NAMESPACES__PRODUCT_PAGE__STRATEGY", "none"),
        ("NAMESPACES__PRODUCT_PAGE__TIERS", "none"),
        ("SERVER__REQUEST_DEADLINE_MS", "1000"),
    ];
    let service = service.another_with(&settings).await;
    assert_eq!(service.get("/products/1").await.status, StatusCode::OK);
    gate.cut();
    // A connection that is there already is found to be gone at once.
    let answered = async || service.get("/products/1").await.status;
    while answered().await == StatusCode::SERVICE_UNAVAILABLE {}
    let answer = service.get("/products/1").await;
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let timed_out = ["http_response_status_code=\"504\""];
    let counted = metric(&service, "http_server_request_duration_seconds_count", &timed_out).await;
    assert_eq!(counted, 2.0);
}
