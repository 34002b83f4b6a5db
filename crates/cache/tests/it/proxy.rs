//! A way to a server that can swallow everything, as a network does that drops its packets.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use crate::support::{ask, within};

/// Forwards connections to one port until told to swallow.
pub(crate) struct Proxy {
    port: u16,
    passes: watch::Sender<bool>,
    task: AbortHandle,
}

impl Proxy {
    /// A proxy in front of `server`, a port of this machine; it ends TLS where it has an
    /// acceptor.
    pub(crate) async fn before(server: u16, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let (passes, gate) = watch::channel(true);
        let task = tokio::spawn(async move {
            // Dropped with this task, it ends them all.
            let mut ways = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (gate, tls) = (gate.clone(), tls.clone());
                ways.spawn(async move {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await else {
                        return;
                    };
                    match tls {
                        None => join(client, server, gate).await,
                        Some(tls) => {
                            if let Ok(client) = tls.accept(client).await {
                                join(client, server, gate).await;
                            }
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

/// Forwards both ways, until one of them ends.
async fn join(client: impl AsyncRead + AsyncWrite, server: TcpStream, gate: watch::Receiver<bool>) {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = forward(from_client, to_server, gate.clone()) => {}
        () = forward(from_server, to_client, gate) => {}
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

/// Lets each of the first `nodes` tell everybody that it is reached through its proxy, and waits
/// until all know. Among themselves the nodes go on talking over their own ports.
pub(crate) async fn announce(nodes: &[String], proxies: &[&Proxy]) {
    for (node, proxy) in nodes.iter().zip(proxies) {
        let bus = bus_of(node).await;
        for (setting, port) in [("bus-port", bus), ("port", proxy.port())] {
            let setting = format!("cluster-announce-{setting}");
            ask::<()>(node, &["CONFIG", "SET", &setting, &port.to_string()]).await;
        }
    }
    for node in nodes {
        within(Duration::from_secs(20), "the nodes know the proxies", async || {
            let known: String = ask(node, &["CLUSTER", "NODES"]).await;
            let mut ports = proxies.iter().map(|proxy| format!(":{}@", proxy.port()));
            ports.all(|port| known.contains(&port))
        })
        .await;
    }
}

/// The port of a node's URL.
pub(crate) fn port_of(node: &str) -> u16 {
    let (_host, port) = node.rsplit_once(':').expect("a URL with a port");
    port.trim_end_matches('/').parse().expect("a port")
}

/// The port of a node on the cluster's bus, as it says itself.
async fn bus_of(node: &str) -> u16 {
    let nodes: String = ask(node, &["CLUSTER", "NODES"]).await;
    let itself = nodes.lines().find(|line| line.contains("myself")).expect("it knows itself");
    let (_clients, rest) = itself.split_once('@').expect("it has a bus");
    let end = rest.find(|c: char| !c.is_ascii_digit()).expect("more follows");
    rest[..end].parse().expect("a port")
}
