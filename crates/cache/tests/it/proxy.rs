//! A way to a server that can swallow everything, as a network does that drops its packets.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

/// Forwards connections to one port until told to swallow.
pub(crate) struct Proxy {
    port: u16,
    passes: watch::Sender<bool>,
    task: AbortHandle,
}

impl Proxy {
    /// A proxy in front of `server`, a port of this machine.
    pub(crate) async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (passes, gate) = watch::channel(true);
        let task = tokio::spawn(async move {
            // Dropped with this task, it ends them all.
            let mut ways = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let gate = gate.clone();
                ways.spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        let (from_client, to_client) = client.into_split();
                        let (from_server, to_server) = server.into_split();
                        tokio::select! {
                            () = forward(from_client, to_server, gate.clone()) => {}
                            () = forward(from_server, to_client, gate) => {}
                        }
                    }
                });
            }
        });
        Self { port, passes, task: task.abort_handle() }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// From now on nothing comes through, and no connection ends.
    pub(crate) fn swallow(&self) {
        self.passes.send_replace(false);
    }

    /// What was swallowed comes through, as what TCP sends again does.
    pub(crate) fn pass(&self) {
        self.passes.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut gate: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        if gate.wait_for(|passes| *passes).await.is_err() {
            return;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
