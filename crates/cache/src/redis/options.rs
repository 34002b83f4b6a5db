//! How to reach the cluster, and for how long to wait for it.

use std::fmt;
use std::time::Duration;

use deadpool_redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult,
    TlsCertificates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error;

/// How to reach a Redis Cluster.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://user:password@host:port` of some nodes, or `rediss://` for TLS; the rest is
    /// learned from them. The user is an ACL user, and the same for all nodes.
    pub nodes: Vec<String>,
    /// Whom to trust and who to be, for `rediss://`.
    pub tls: TlsOptions,
    /// Whether nothing is to be changed in Redis: for a user who may only read. There are no
    /// leases then, and what is loaded fills L1 alone.
    pub read_only: bool,
    /// Connections (each multiplexed, to every node). More than a few gain nothing.
    pub connections: usize,
    /// How long connecting to one node may take. Too low: a busy node is never reached; too
    /// high: hits come back late after a failover, for each frozen node is waited for.
    pub connect_timeout: Duration,
    /// How long one node may take to answer before the command is tried again.
    pub response_timeout: Duration,
    /// How long a command may take with all its tries. A lookup that takes longer is a miss.
    pub overall_timeout: Duration,
    /// How often a cluster that does not answer is tried again.
    pub probe_interval: Duration,
}

/// Certificates, in PEM.
#[derive(Clone, Default)]
pub struct TlsOptions {
    /// The authorities that may have signed a node's certificate; `None`: those of the system.
    pub authorities: Option<Vec<u8>>,
    /// This client's certificate and its key, where the nodes ask for one.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for RedisOptions {
    /// Without the nodes' URLs, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisOptions")
            .field("nodes", &self.nodes.len())
            .field("tls", &self.tls)
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsOptions")
            .field("authorities", &self.authorities.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

/// A setting that cannot work.
#[derive(Debug, Error)]
pub enum RedisOptionsError {
    /// A field has a value that cannot work.
    #[error("{option}: {reason}")]
    Option {
        /// The field of [`RedisOptions`].
        option: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A node's URL cannot be read. The URL is not repeated: it may hold a password.
    #[error("nodes: {0}")]
    Nodes(#[source] redis::RedisError),
}

impl RedisOptions {
    /// Defaults for `nodes`: 2 connections, 500 ms to connect, 100 ms for an answer and 250 ms
    /// in all, a probe every 250 ms.
    #[must_use]
    pub fn new(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            tls: TlsOptions::default(),
            read_only: false,
            connections: 2,
            connect_timeout: Duration::from_millis(500),
            response_timeout: Duration::from_millis(100),
            overall_timeout: Duration::from_millis(250),
            probe_interval: Duration::from_millis(250),
        }
    }

    /// Whether these options can work, without connecting.
    ///
    /// # Errors
    ///
    /// Names the first option that cannot.
    pub fn check(&self) -> Result<(), RedisOptionsError> {
        self.client().map(drop)
    }

    pub(crate) fn client(&self) -> Result<ClusterClient, RedisOptionsError> {
        let refuse = |option, reason| Err(RedisOptionsError::Option { option, reason });
        if self.nodes.is_empty() {
            return refuse("nodes", "must name at least one node");
        }
        let encrypted = self.nodes.iter().filter(|node| is_encrypted(node)).count();
        if encrypted != 0 && encrypted != self.nodes.len() {
            return refuse("nodes", "must all be rediss://, or none");
        }
        let certificates = self.certificates();
        if encrypted == 0 && certificates.is_some() {
            return refuse("tls", "needs nodes with rediss://");
        }
        let authorities = self.tls.authorities.as_deref();
        let readable = |pem| CertificateDer::pem_slice_iter(pem).any(|found| found.is_ok());
        if !authorities.is_none_or(readable) {
            return refuse("tls.authorities", "has no certificate in PEM");
        }
        if self.connections == 0 {
            return refuse("connections", "must be at least 1");
        }
        for (option, value) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
            ("overall_timeout", self.overall_timeout),
            ("probe_interval", self.probe_interval),
        ] {
            if value.as_millis() == 0 {
                return refuse(option, "must be at least 1 ms");
            }
        }
        if self.overall_timeout < self.response_timeout {
            return refuse("overall_timeout", "must not be less than response_timeout");
        }
        // Without explicit waits the client's first retry comes after 1,280 ms, far beyond any
        // deadline here; with `response_timeout` alone the overall one would equal it.
        let mut builder = ClusterClientBuilder::new(self.nodes.iter().map(String::as_str));
        if encrypted != 0 {
            // Where the service has chosen another provider, that one stays.
            let _chosen = rustls::crypto::ring::default_provider().install_default();
        }
        if let Some(certificates) = certificates {
            builder = builder.certs(certificates);
        }
        builder
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.response_timeout)
            .overall_response_timeout(Some(self.overall_timeout))
            .retries(2)
            .min_retry_wait(10)
            .max_retry_wait(50)
            .build()
            .map_err(RedisOptionsError::Nodes)
    }

    /// A client of one of the nodes alone.
    pub(crate) fn client_of(&self, node: &str) -> RedisResult<Client> {
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(node, certificates),
            None => Client::open(node),
        }
    }

    /// A client of the node at `address`, of which the node `known` has told.
    pub(crate) fn client_at(&self, known: &str, address: (&str, u16)) -> RedisResult<Client> {
        let info = at(known, address)?;
        match self.certificates() {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        let TlsOptions { authorities, client } = self.tls.clone();
        let client_tls =
            client.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
        (authorities.is_some() || client_tls.is_some())
            .then_some(TlsCertificates { client_tls, root_cert: authorities })
    }
}

/// How the node at `address` is reached, of which the node `known` has told.
pub(crate) fn at(known: &str, address: (&str, u16)) -> RedisResult<ConnectionInfo> {
    let info = known.into_connection_info()?;
    let (told, port) = address;
    let here = match info.addr() {
        ConnectionAddr::Tcp(host, _) => ConnectionAddr::Tcp(either(told, host), port),
        ConnectionAddr::TcpTls { host, insecure, tls_params, .. } => {
            let (host, insecure) = (either(told, host), *insecure);
            ConnectionAddr::TcpTls { host, port, insecure, tls_params: tls_params.clone() }
        }
        other => other.clone(),
    };
    Ok(info.set_addr(here))
}

/// The host that a node has told, or the one that it was asked under.
fn either(told: &str, asked: &str) -> String {
    if told.is_empty() { asked.to_owned() } else { told.to_owned() }
}

fn is_encrypted(node: &str) -> bool {
    node.starts_with("rediss:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_cannot_work_is_named() {
        let good = || RedisOptions::new(vec!["redis://127.0.0.1:7000".to_owned()]);
        let tls =
            |authorities: &str| TlsOptions { authorities: Some(authorities.into()), client: None };
        let encrypted = || vec!["rediss://127.0.0.1:7000".to_owned()];
        let cases: [(&str, RedisOptions); 8] = [
            ("nodes", RedisOptions { nodes: [good().nodes, encrypted()].concat(), ..good() }),
            ("tls", RedisOptions { tls: tls(""), ..good() }),
            ("tls.authorities", RedisOptions { nodes: encrypted(), tls: tls("no PEM"), ..good() }),
            ("nodes", RedisOptions { nodes: vec![], ..good() }),
            ("nodes", RedisOptions { nodes: vec!["http://x".to_owned()], ..good() }),
            ("connections", RedisOptions { connections: 0, ..good() }),
            ("response_timeout", RedisOptions { response_timeout: Duration::ZERO, ..good() }),
            (
                "overall_timeout",
                RedisOptions { overall_timeout: Duration::from_millis(1), ..good() },
            ),
        ];
        assert!(good().client().is_ok());
        for (field, options) in cases {
            let message = options.client().err().map(|e| e.to_string()).unwrap_or_default();
            assert!(message.starts_with(field), "{field}: {message:?}");
        }
    }
}
