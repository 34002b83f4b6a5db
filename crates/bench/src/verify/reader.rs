//! One reader: it asks any process, and notes what it saw and when.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use serde::Deserialize;

use super::history::{Answer, Expected, Found, Phase, Read, Version, now};
use crate::load::{Client, Request};
use crate::scenario::ReadView;

/// The header by which a reader says what it has seen already, and that by which a writer is
/// told.
pub(crate) const MIN_VERSION: &str = "Larder-Min-Version";
pub(super) const VERSION: &str = "larder-version";
/// Longer than the API lets any request take.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Connections to every process.
#[derive(Debug)]
pub(super) struct Reader {
    clients: Vec<Client>,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) process: u8,
    pub(super) view: ReadView,
    pub(super) product: u32,
    pub(super) phase: Phase,
}

#[derive(Deserialize)]
struct Body {
    price: Price,
    #[serde(default)]
    related: Vec<Related>,
}

#[derive(Deserialize)]
struct Price {
    minor: i64,
}

#[derive(Deserialize)]
struct Related {
    id: u32,
    price: Price,
}

impl Reader {
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        Self { clients: addresses.iter().map(|address| Client::new(*address)).collect() }
    }

    /// Connects to every process.
    pub(super) async fn connect(&mut self) {
        for client in &mut self.clients {
            client.send(&Request::get("/healthz")).await;
        }
    }

    /// Reads, and notes it.
    pub(super) async fn read(&mut self, wanted: Wanted) -> Read {
        self.read_with(wanted, None).await
    }

    /// Reads as one who has been told of a version: the header as it came, and what it means.
    pub(super) async fn read_after(&mut self, wanted: Wanted, told: (&str, Expected)) -> Read {
        self.read_with(wanted, Some(told)).await
    }

    async fn read_with(&mut self, wanted: Wanted, told: Option<(&str, Expected)>) -> Read {
        let Wanted { process, view, product, phase } = wanted;
        let request = Request::get(view.path(product));
        let header = told.map(|(version, _)| (MIN_VERSION, version));
        let client = &mut self.clients[usize::from(process)];
        let began = now();
        let answer = tokio::time::timeout(PATIENCE, client.respond(&request, header)).await;
        let ended = now();
        let answer = match answer {
            Ok(Ok(response)) => understand(&response),
            _ => Answer::Failed(0),
        };
        let expected = told.map(|(_, expected)| expected);
        Read { began, ended, process, view, product, phase, expected, answer }
    }
}

fn understand(response: &Response<Bytes>) -> Answer {
    match response.status().as_u16() {
        200 => found(response).map_or(Answer::Failed(200), Answer::Found),
        404 => Answer::Absent,
        status => Answer::Failed(status),
    }
}

fn found(response: &Response<Bytes>) -> Option<Found> {
    let version = version(response.headers().get("etag")?.to_str().ok()?)?;
    let body: Body = serde_json::from_slice(response.body()).ok()?;
    let related = body.related.into_iter().map(|related| (related.id, related.price.minor));
    Some(Found { version, price: body.price.minor, related: related.collect() })
}

/// `2-7`, quoted or not.
pub(crate) fn version(text: &str) -> Option<Version> {
    let (epoch, counter) = text.trim_start_matches("W/").trim_matches('"').split_once('-')?;
    Some(Version { epoch: epoch.parse().ok()?, counter: counter.parse().ok()? })
}

/// What `Larder-Version` says of `namespace`: `product-page=2-7, product-summary=2-3`.
pub(crate) fn version_of(text: &str, namespace: &str) -> Option<Version> {
    let members = text.split(',').filter_map(|member| member.trim().split_once('='));
    let mut of_it = members.filter(|(name, _)| *name == namespace);
    version(of_it.next()?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_is_told_the_version_of_each_view() {
        let text = "product-page=2-7, product-summary=2-3";
        let version = |counter| Some(Version { epoch: 2, counter });
        assert_eq!(version_of(text, "product-page"), version(7));
        assert_eq!(version_of(text, "product-summary"), version(3));
        assert_eq!(version_of("product-page=2-7", "product-summary"), None);
        assert_eq!(version_of("2-7", "product-page"), None);
    }

    #[test]
    fn an_answer_is_understood_by_its_status_tag_and_prices() {
        let answer = |status: u16, tag: &str, body: &'static str| {
            let response = Response::builder().status(status).header("etag", tag);
            understand(&response.body(Bytes::from_static(body.as_bytes())).expect("a response"))
        };
        let version = Version { epoch: 2, counter: 7 };
        let body = r#"{"price": {"minor": 5, "currency": "EUR"}, "related":
                       [{"id": 9, "name": "x", "price": {"minor": 6, "currency": "EUR"}}]}"#;
        let found = Found { version, price: 5, related: Box::new([(9, 6)]) };
        assert_eq!(answer(200, "\"2-7\"", body), Answer::Found(found));
        let found = Found { version, price: 5, related: Box::new([]) };
        assert_eq!(answer(200, "W/\"2-7\"", r#"{"price": {"minor": 5}}"#), Answer::Found(found));
        assert_eq!(answer(200, "\"2-7\"", "{}"), Answer::Failed(200));
        assert_eq!(answer(404, "", "{}"), Answer::Absent);
        assert_eq!(answer(503, "", "{}"), Answer::Failed(503));
    }
}
