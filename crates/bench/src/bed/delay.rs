//! Latency between the service and its database: a proxy that holds back what passes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Pieces under way in one direction of a connection; more wait in the sockets.
const UNDER_WAY: usize = 256;

/// A proxy before one server, which adds its latency to each round trip: half on the way there and
/// half on the way back. It limits no throughput.
#[derive(Debug)]
pub struct DelayProxy {
    port: u16,
    latency: Duration,
    task: AbortHandle,
}

impl DelayProxy {
    /// Listens on a free port of this machine, before `server`.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn before(server: SocketAddr, latency: Duration) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("a port for the proxy")?;
        let port = listener.local_addr()?.port();
        let task = tokio::spawn(async move {
            // Dropped with this task, it ends them all.
            let mut ways = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while ways.try_join_next().is_some() {}
                ways.spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let _ = (client.set_nodelay(true), server.set_nodelay(true));
                    let ((from_client, to_client), (from_server, to_server)) =
                        (client.into_split(), server.into_split());
                    let half = latency / 2;
                    // Both ends hear of it when either ends.
                    tokio::join!(
                        pass(from_client, to_server, half),
                        pass(from_server, to_client, half)
                    );
                });
            }
        });
        Ok(Self { port, latency, task: task.abort_handle() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// What it adds to each round trip.
    #[must_use]
    pub const fn latency(&self) -> Duration {
        self.latency
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what comes, each piece `delay` after it came.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (held, mut due) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            if held.send((Instant::now() + delay, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_trip_takes_the_latency_and_pieces_do_not_queue_behind_one_another() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("one comes");
            let mut buffer = [0; 1];
            while stream.read_exact(&mut buffer).await.is_ok() {
                stream.write_all(&buffer).await.expect("it listens");
            }
        });
        let proxy = DelayProxy::before(server, Duration::from_millis(40)).await.expect("starts");
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("it accepts");
        let began = std::time::Instant::now();
        // Ten at once take one latency, not ten.
        client.write_all(&[7; 10]).await.expect("writes");
        let mut answer = [0; 10];
        client.read_exact(&mut answer).await.expect("answers");
        let took = began.elapsed();
        assert_eq!(answer, [7; 10]);
        assert!(took >= Duration::from_millis(40), "{took:?}");
        assert!(took < Duration::from_millis(300), "{took:?}");
    }
}
