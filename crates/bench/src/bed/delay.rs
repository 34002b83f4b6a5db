//! Latency between the service and its database: a proxy that holds back what passes.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// Pieces under way in one direction of a connection; more wait in the sockets.
const UNDER_WAY: usize = 256;

/// A proxy before one server, which adds its latency to each round trip: half on the way there and
/// half on the way back. It limits no throughput. While it is cut, the server cannot be reached.
#[derive(Debug)]
pub struct DelayProxy {
    port: u16,
    latency: Duration,
    passes: watch::Sender<bool>,
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
        let (passes, seen) = watch::channel(true);
        let task = tokio::spawn(serve(listener, server, latency, seen));
        Ok(Self { port, latency, passes, task: task.abort_handle() })
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

    /// Ends all connections, and each new one at once, until it is mended.
    pub fn cut(&self) {
        self.passes.send_replace(false);
    }

    /// Lets new connections pass again.
    pub fn mend(&self) {
        self.passes.send_replace(true);
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    server: SocketAddr,
    latency: Duration,
    mut passes: watch::Receiver<bool>,
) {
    // Dropped with this task, it ends them all.
    let mut ways = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            changed = passes.changed() => {
                if changed.is_err() {
                    return;
                }
                if !*passes.borrow_and_update() {
                    ways.shutdown().await;
                }
                continue;
            }
        };
        let Ok((client, _)) = accepted else { return };
        while ways.try_join_next().is_some() {}
        if !*passes.borrow() {
            continue;
        }
        ways.spawn(async move {
            let Ok(server) = TcpStream::connect(server).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let ((from_client, to_client), (from_server, to_server)) =
                (client.into_split(), server.into_split());
            let half = latency / 2;
            // Both ends hear of it when either ends.
            tokio::join!(pass(from_client, to_server, half), pass(from_server, to_client, half));
        });
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

    /// A server that sends back what it is sent; where it listens.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let server = listener.local_addr().expect("bound");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut buffer = [0; 1];
                    while stream.read_exact(&mut buffer).await.is_ok() {
                        if stream.write_all(&buffer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    #[tokio::test]
    async fn while_it_is_cut_nobody_passes() {
        let proxy = DelayProxy::before(echo().await, Duration::ZERO).await.expect("starts");
        let connect = async || TcpStream::connect(("127.0.0.1", proxy.port())).await;
        let asks = async |client: &mut TcpStream| {
            let mut answer = [0; 1];
            client.write_all(&[7]).await?;
            client.read_exact(&mut answer).await.map(|_| answer[0])
        };
        let mut early = connect().await.expect("it accepts");
        assert_eq!(asks(&mut early).await.expect("it answers"), 7);
        proxy.cut();
        // A moment may pass until it hears of it.
        while asks(&mut early).await.is_ok() {
            tokio::task::yield_now().await;
        }
        let mut meanwhile = connect().await.expect("it accepts");
        assert!(asks(&mut meanwhile).await.is_err());
        proxy.mend();
        let mut answered = false;
        while !answered {
            let mut late = connect().await.expect("it accepts");
            answered = asks(&mut late).await.is_ok();
        }
    }

    #[tokio::test]
    async fn a_round_trip_takes_the_latency_and_pieces_do_not_queue_behind_one_another() {
        let proxy =
            DelayProxy::before(echo().await, Duration::from_millis(40)).await.expect("starts");
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
