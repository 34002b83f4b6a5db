//! Asking the admin API.

use std::time::Duration;

use reqwest::blocking;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use thiserror::Error;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Exit codes of sysexits.h.
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;
const EX_NOPERM: u8 = 77;

/// Why there is nothing to print.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("--api {0}: {1}")]
    Address(String, String),
    #[error("{0} does not answer: {1} (is it running? make up, or --api URL)")]
    Silent(String, String),
    #[error("{0} (the key: --api-key, or ADMIN_KEY as in .stack/env)")]
    Forbidden(String),
    #[error("{0}")]
    Refused(String),
}

impl Failure {
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            Self::Address(..) => EX_USAGE,
            Self::Silent(..) => EX_UNAVAILABLE,
            Self::Forbidden(_) => EX_NOPERM,
            Self::Refused(_) => 1,
        }
    }
}

/// A service, and the key to it.
pub(crate) struct Client {
    /// Where its processes listen; there is at least one.
    bases: Vec<String>,
    key: String,
    http: blocking::Client,
}

impl Client {
    pub(crate) fn new(api: &str, key: &str) -> Result<Self, Failure> {
        let bases: Vec<String> = api.split(',').map(base).collect::<Result<_, _>>()?;
        let http = blocking::Client::builder()
            .timeout(PATIENCE)
            .no_proxy()
            .build()
            .map_err(|error| Failure::Address(api.to_owned(), error.to_string()))?;
        Ok(Self { bases, key: key.to_owned(), http })
    }

    /// The body of the answer of the first process; null where there is none.
    pub(crate) fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.ask_at(&self.bases[0], method, path, body)
    }

    /// What each process answers, with its address.
    pub(crate) fn ask_each(&self, path: &str) -> Result<Vec<(&str, Value)>, Failure> {
        let answers = self
            .bases
            .iter()
            .map(|base| Ok((base.as_str(), self.ask_at(base, Method::GET, path, None)?)));
        answers.collect()
    }

    fn ask_at(
        &self,
        base: &str,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let mut request = self.http.request(method, format!("{base}{path}"));
        if !self.key.is_empty() {
            request = request.bearer_auth(&self.key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let silent = |error| silent(base, &error);
        let response = request.send().map_err(silent)?;
        let status = response.status();
        let body = response.bytes().map_err(silent)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(body);
        }
        let detail = detail(&body).unwrap_or_else(|| status.to_string());
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Forbidden(detail),
            _ => Failure::Refused(detail),
        })
    }
}

/// The address of one service, without a slash at its end.
pub(crate) fn base(api: &str) -> Result<String, Failure> {
    let base = api.trim().trim_end_matches('/');
    let address = |problem: String| Failure::Address(api.to_owned(), problem);
    let url = reqwest::Url::parse(base).map_err(|error| address(error.to_string()))?;
    if url.scheme() != "http" {
        return Err(address("must begin with http://".to_owned()));
    }
    Ok(base.to_owned())
}

/// That the service at `base` did not answer.
pub(crate) fn silent(base: &str, error: &reqwest::Error) -> Failure {
    Failure::Silent(base.to_owned(), root(error).to_string())
}

/// What a problem says, with the fields that are wrong.
fn detail(problem: &Value) -> Option<String> {
    let fields = problem["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let fields: Vec<String> = fields
        .iter()
        .filter_map(|it| Some(format!("{}: {}", it["field"].as_str()?, it["message"].as_str()?)))
        .collect();
    if fields.is_empty() {
        return problem["detail"].as_str().map(str::to_owned);
    }
    Some(fields.join("; "))
}

/// What is at the bottom of an error: the words above it only say that a request was sent.
fn root(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause
}
