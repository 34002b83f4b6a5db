//! Requests, in the clear or by TLS.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, StatusCode};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::time::timeout;

use crate::client::Failure;

/// Who asks, and with which key.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    key: String,
    patience: Duration,
}

impl Http {
    /// Whoever answers by TLS must be known to the system's authorities, or to those in the file
    /// `ca` (PEM). An answer may take as long as `patience`.
    pub(crate) fn new(key: &str, ca: Option<&Path>, patience: Duration) -> Result<Self, Failure> {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Refused(error.to_string()))?
            .with_root_certificates(authorities(ca)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { client, key: key.to_owned(), patience })
    }

    /// The answer, read to its end; why there is none, if there is none.
    pub(crate) async fn send(
        &self,
        method: Method,
        url: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(url);
        if !self.key.is_empty() {
            request = request.header(AUTHORIZATION, format!("Bearer {}", self.key));
        }
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let body = body.map_or_else(Bytes::new, |body| body.to_string().into());
        let request = request.body(Full::new(body)).map_err(|error| error.to_string())?;
        let answered = async {
            let response = self.client.request(request).await.map_err(|error| root(&error))?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|error| root(&error))?;
            Ok((status, body.to_bytes()))
        };
        let late = || format!("nothing within {} s", self.patience.as_secs());
        timeout(self.patience, answered).await.map_err(|_elapsed| late())?
    }
}

/// Those of the system, and those in the file `ca`.
fn authorities(ca: Option<&Path>) -> Result<RootCertStore, Failure> {
    let mut trusted = RootCertStore::empty();
    // A system without any, or with one that cannot be read, is no hindrance to plain HTTP.
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let Some(file) = ca else { return Ok(trusted) };
    let refused = |problem: String| Failure::Authority(file.display().to_string(), problem);
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| refused(error.to_string()))?;
    if certificates.is_empty() {
        return Err(refused("holds no certificate (PEM)".to_owned()));
    }
    for certificate in certificates {
        trusted.add(certificate).map_err(|error| refused(error.to_string()))?;
    }
    Ok(trusted)
}

/// What is at the bottom of an error: the words above it only say that a request was sent.
fn root(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
