//! What an open loop sees and a closed loop hides.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larder_bench::load::{ClosedLoop, Request, closed_loop, open_loop, steady};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const STALL: Duration = Duration::from_millis(600);

/// A server that answers at once, but for one stall in its second second.
async fn stalling_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let began = Instant::now();
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, began));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, began: Instant) {
    let from = Duration::from_millis(700);
    let mut buffer = [0; 4_096];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        let since = began.elapsed();
        if (from..from + STALL).contains(&since) {
            tokio::time::sleep(from + STALL - since).await;
        }
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(text).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_shows_in_an_open_loop_and_hides_in_a_closed_one() {
    let length = Duration::from_secs(2);
    let address = stalling_server().await;
    let closed =
        closed_loop(ClosedLoop { address, connections: 2, length }, |_| || Request::get("/")).await;
    let address = stalling_server().await;
    let due = steady(500.0, length);
    let requests = vec![Request::get("/"); due.len()];
    let open = open_loop(address, 8, due, requests).await;

    assert_eq!((closed.errors, open.outcome.errors), (0, 0));
    assert_eq!(open.outcome.answered, 1_000);
    assert!(open.outcome.latency.max() < 2_000_000, "{} us", open.outcome.latency.max());
    let p90 = |latency: &hdrhistogram::Histogram<u64>| latency.value_at_quantile(0.9) / 1_000;
    // 600 ms of 2 s: every third request was due while nothing was answered.
    let (hidden, shown) = (p90(&closed.latency), p90(&open.outcome.latency));
    assert!(shown >= 300, "the open loop saw {shown} ms");
    assert!(hidden < 100, "the closed loop saw {hidden} ms");
}

#[tokio::test]
async fn requests_without_an_answer_are_errors_that_lasted() {
    // Accepts, and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let due = steady(50.0, Duration::from_millis(200));
    let requests = vec![Request::get("/"); due.len()];
    let open = open_loop(address, 2, due, requests).await;
    assert_eq!(open.outcome.errors, 10);
}
