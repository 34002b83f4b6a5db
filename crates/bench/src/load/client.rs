//! One keep-alive connection. Nothing is hidden between the load and the socket.

use std::net::SocketAddr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `PATCH`, …
    pub method: hyper::Method,
    /// Path and query.
    pub path: String,
    /// A JSON body; empty for none.
    pub body: Bytes,
    /// The product that it is about; 0: none.
    pub key: u32,
    /// Whether 404 is an answer as good as any.
    pub perhaps_missing: bool,
}

/// What a load needs to know of an answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 2xx; or 404, where that is as good.
    pub ok: bool,
    /// The status; 0 if the connection failed.
    pub status: u16,
    /// Whether `Cache-Status` says that the cache answered.
    pub hit: bool,
    /// Whether it says that the value is past its time.
    pub stale: bool,
    /// 503 with `Retry-After`.
    pub shed: bool,
    /// The length of the body.
    pub bytes: usize,
}

/// The key of the API processes that this program starts; another one each time it runs.
#[must_use]
pub fn key() -> &'static str {
    static KEY: OnceLock<String> = OnceLock::new();
    KEY.get_or_init(|| format!("{:032x}", rand::random::<u128>()))
}

/// A connection to one server; made again when it was lost. It shows the [`key`] where one is
/// needed, which is with no read of the catalogue: what is measured carries nothing else.
#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Request {
    /// A `GET` of `path`.
    #[must_use]
    pub fn get(path: impl Into<String>) -> Self {
        Self::of(hyper::Method::GET, path, Bytes::new())
    }

    /// A `PATCH` of `path` with a JSON body.
    #[must_use]
    pub fn patch(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::of(hyper::Method::PATCH, path, body)
    }

    /// A `POST` to `path` with a JSON body.
    #[must_use]
    pub fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self::of(hyper::Method::POST, path, body)
    }

    /// A `DELETE` of `path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::of(hyper::Method::DELETE, path, Bytes::new())
    }

    fn of(method: hyper::Method, path: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { method, path: path.into(), body: body.into(), key: 0, perhaps_missing: false }
    }

    /// The same, known to be about product `key`.
    #[must_use]
    pub const fn about(mut self, key: u32) -> Self {
        self.key = key;
        self
    }

    /// The same about something that may not be there.
    #[must_use]
    pub const fn perhaps_missing(mut self) -> Self {
        self.perhaps_missing = true;
        self
    }

    /// Whether it changes something.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.method != hyper::Method::GET
    }
}

impl Client {
    /// A client that connects when it is first used.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, connection: None }
    }

    /// Whom it asks.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends `request` and reads the whole answer. A failed connection is an answer, too.
    pub async fn send(&mut self, request: &Request) -> Answer {
        match self.exchange(request).await {
            Ok((answer, _)) => answer,
            Err(_lost) => {
                self.connection = None;
                Answer { ok: false, status: 0, hit: false, stale: false, shed: false, bytes: 0 }
            }
        }
    }

    /// The body of a `GET`.
    ///
    /// # Errors
    ///
    /// When there is no answer, or not 200.
    pub async fn fetch(&mut self, path: &str) -> Result<Bytes> {
        let (answer, body) = self.exchange(&Request::get(path)).await?;
        anyhow::ensure!(answer.ok, "{path} answered {}", answer.status);
        Ok(body)
    }

    /// Sends `request`, with one more header if there is one; the whole answer, whatever its
    /// status.
    ///
    /// # Errors
    ///
    /// When the connection fails.
    pub async fn respond(
        &mut self,
        request: &Request,
        header: Option<(&str, &str)>,
    ) -> Result<hyper::Response<Bytes>> {
        let answered = self.round_trip(request, header).await;
        if answered.is_err() {
            self.connection = None;
        }
        answered
    }

    /// Connects, unless a connection is ready for a request. What fails here has sent nothing.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub async fn connect(&mut self) -> Result<()> {
        if let Some(connection) = &mut self.connection
            && connection.ready().await.is_ok()
        {
            return Ok(());
        }
        let connection = self.connection.insert(connect(self.address).await?);
        Ok(connection.ready().await?)
    }

    async fn round_trip(
        &mut self,
        request: &Request,
        header: Option<(&str, &str)>,
    ) -> Result<hyper::Response<Bytes>> {
        self.connect().await?;
        let connection = self.connection.as_mut().context("it has just been connected")?;
        let mut builder = hyper::Request::builder()
            .method(&request.method)
            .uri(request.path.as_str())
            .header("host", "127.0.0.1");
        if !request.body.is_empty() {
            builder = builder.header("content-type", "application/json");
        }
        if request.writes() || request.path.starts_with("/admin") {
            builder = builder.header("authorization", format!("Bearer {}", key()));
        }
        if let Some((name, value)) = header {
            builder = builder.header(name, value);
        }
        let message = builder.body(Full::new(request.body.clone()))?;
        let (parts, body) = connection.send_request(message).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(hyper::Response::from_parts(parts, body))
    }

    async fn exchange(&mut self, request: &Request) -> Result<(Answer, Bytes)> {
        let response = self.round_trip(request, None).await?;
        let status = response.status();
        let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
        let answer = Answer {
            ok: status.is_success() || (request.perhaps_missing && status.as_u16() == 404),
            status: status.as_u16(),
            hit: header("cache-status").is_some_and(|text| text.starts_with("larder; hit")),
            stale: header("cache-status").is_some_and(|text| text.contains("; detail=stale-")),
            shed: status.as_u16() == 503 && header("retry-after").is_some(),
            bytes: response.body().len(),
        };
        Ok((answer, response.into_body()))
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>> {
    let stream =
        TcpStream::connect(address).await.with_context(|| format!("connecting to {address}"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await?;
    // Its end is seen by the sender.
    tokio::spawn(connection);
    Ok(sender)
}
