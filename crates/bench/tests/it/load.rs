//! What an open loop sees and a closed loop hides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder_bench::load::{Request, Targets, compare_loops, open_loop, steady};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const STALL: Duration = Duration::from_secs(1);

/// A server that answers at once, but for as long as `stalls` says so.
async fn static_server(stalls: Arc<AtomicBool>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, Arc::clone(&stalls)));
        }
    });
    address
}

async fn answer(mut stream: TcpStream, stalls: Arc<AtomicBool>) {
    let mut buffer = [0; 4_096];
    while let Ok(read) = stream.read(&mut buffer).await {
        if read == 0 {
            return;
        }
        while stalls.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        if stream.write_all(text).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stall_of_a_second_shows_in_an_open_loop_and_hides_in_a_closed_one() {
    let stalls = Arc::new(AtomicBool::new(false));
    let targets = Targets::from(static_server(Arc::clone(&stalls)).await);
    let stall = async |after: Duration| {
        tokio::time::sleep(after).await;
        stalls.store(true, Ordering::SeqCst);
        tokio::time::sleep(STALL).await;
        stalls.store(false, Ordering::SeqCst);
    };
    let length = Duration::from_secs(6);
    let found = compare_loops(&targets, 300.0, length, &Request::get("/"), stall)
        .await
        .expect("it accepts");

    let (open, closed) = (&found.open.outcome, &found.closed);
    assert_eq!((closed.errors, open.errors), (0, 0));
    assert_eq!(open.answered, 1_800);
    let ms = |latency: &hdrhistogram::Histogram<u64>, quantile: f64| {
        latency.value_at_quantile(quantile) / 1_000
    };
    // Every sixth request was due while nothing was answered.
    assert!(ms(&open.latency, 0.999) >= 900, "{} ms", ms(&open.latency, 0.999));
    assert!((950..3_000).contains(&(open.latency.max() / 1_000)), "{} us", open.latency.max());
    assert!(ms(&open.latency, 0.9) >= 300, "{} ms", ms(&open.latency, 0.9));
    // The two users asked once each meanwhile: too few among thousands for a percentile.
    assert!(closed.answered > 3_000, "{}", closed.answered);
    assert!(ms(&closed.latency, 0.999) < 500, "{} ms", ms(&closed.latency, 0.999));
    assert!(closed.latency.max() >= 900_000, "they did meet it: {} us", closed.latency.max());
}

#[tokio::test]
async fn requests_without_an_answer_are_errors_that_lasted() {
    // Nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let due = steady(50.0, Duration::from_millis(200));
    let requests = vec![Request::get("/"); due.len()];
    let open = open_loop(address.into(), 2, due, requests).await.expect("refused at once");
    assert_eq!(open.outcome.errors, 10);
}

/// A server that answers everything but the requests for `/silent`.
async fn silent_for_one() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4_096];
                while let Ok(read) = stream.read(&mut buffer).await {
                    let silent = buffer[..read].starts_with(b"PATCH /silent");
                    let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if read == 0 || (!silent && stream.write_all(text).await.is_err()) {
                        return;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_connection_that_is_left_waiting_keeps_what_it_was_answered_before() {
    let address = silent_for_one().await;
    let due = steady(50.0, Duration::from_millis(400));
    let mut requests = vec![Request::patch("/loud", "{}").about(7); due.len()];
    requests[12] = Request::patch("/silent", "{}").about(8);
    // Of two connections one waits in vain from then on; the other one sends the rest.
    let open = open_loop(address.into(), 2, due, requests).await.expect("it accepts");
    let outcome = &open.outcome;
    assert_eq!((outcome.answered, outcome.errors), (19, 1));
    assert_eq!(outcome.sent.iter().filter(|sent| sent.write && sent.ok).count(), 19);
    assert_eq!(outcome.latency.len(), 20);
    // Due 160 ms before the last, and given up 10 s after that.
    assert!(outcome.latency.max() >= 10_000_000, "{} us", outcome.latency.max());
}
