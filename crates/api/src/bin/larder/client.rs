//! Asking the admin API.

use std::path::Path;
use std::time::Duration;

use hyper::{Method, StatusCode, Uri};
use serde_json::Value;
use thiserror::Error;
use tokio::runtime::Runtime;

use crate::http::Http;

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
    #[error("--ca {0}: {1}")]
    Authority(String, String),
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
            Self::Address(..) | Self::Authority(..) => EX_USAGE,
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
    http: Http,
    runtime: Runtime,
}

impl Client {
    /// Trusts the authorities in the file `ca`, too.
    pub(crate) fn new(api: &str, key: &str, ca: Option<&Path>) -> Result<Self, Failure> {
        let bases: Vec<String> = api.split(',').map(base).collect::<Result<_, _>>()?;
        let http = Http::new(key, ca, PATIENCE)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::Refused(error.to_string()))?;
        Ok(Self { bases, http, runtime })
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
        let url = format!("{base}{path}");
        let answered = self.http.send(method, &url, body);
        let (status, body) =
            self.runtime.block_on(answered).map_err(|why| Failure::Silent(base.to_owned(), why))?;
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
    let url: Uri = base.parse().map_err(|error| address(format!("{error}")))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(address("must begin with http:// or https://".to_owned()));
    }
    Ok(base.to_owned())
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
