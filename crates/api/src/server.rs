//! The service over HTTP: it listens, answers and stops.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::test::TestRequest;
use actix_web::web::{Data, PathConfig, PayloadConfig, QueryConfig};
use actix_web::{App, HttpServer, ResponseError, web};
use catalog_domain::RepositoryError;
use catalog_repository::ApiKeys;
use futures_util::FutureExt;
use larder_telemetry::Telemetry;
use opentelemetry_instrumentation_actix_web::{RequestMetrics, RequestTracing};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::admin;
use crate::auth::{self, FirstKeyError, KeyError};
use crate::closing::{Closing, Patience, told_to_leave};
use crate::composition::{database, state};
use crate::config::{Config, ConfigError};
use crate::dashboard::{self, Hub};
use crate::problem::Problem;
use crate::routes;
use crate::switching;
use crate::unread;

/// Why the service could not start.
#[derive(Debug, Error)]
pub enum ServeError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address is taken or not ours.
    #[error("server.bind: cannot listen on {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The change feed cannot be opened.
    #[error(
        "feed: {0} (does the role of database.feed_url, or of database.url, have the rights of \
         larder_relay? feed.enabled = false does without)"
    )]
    Feed(String),
    /// Postgres does not answer, or has not been migrated.
    #[error("database.url: {0} (has the schema been migrated? `catalog-api migrate`)")]
    Database(#[from] RepositoryError),
    /// Nobody could administer, and no key can be made for it.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A running service.
pub struct Server {
    address: SocketAddr,
    scheme: &'static str,
    handle: ServerHandle,
    closing: Closing,
    drain: Duration,
    running: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Server {
    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` or `https://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// Stops as at SIGTERM: says that it is not ready for `server.drain_ms`, then lets requests under
    /// way end and applies what is journaled, within `server.shutdown_timeout_ms`.
    pub async fn stop(self) {
        self.closing.close(&self.handle, self.drain).await;
        // It has been told to end; its result says no more.
        let _ = self.running.await;
    }

    /// Waits until it is stopped by a signal.
    ///
    /// # Errors
    ///
    /// When the server failed.
    pub async fn wait(self) -> std::io::Result<()> {
        self.running.await.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}

/// Starts the service on `config`'s address, within a Tokio runtime.
///
/// # Errors
///
/// When the address is taken, Postgres does not answer, or an option cannot work. Not when
/// Redis does not answer: the service then serves from Postgres until it does.
pub async fn start(config: Config, telemetry: &Telemetry) -> Result<Server, ServeError> {
    let (address, tls) = (config.address()?, config.tls()?);
    let scheme = if tls.is_some() { "https" } else { "http" };
    let db = database(&config)?;
    let production = config.is_production()?;
    if production {
        auth::first(&config, &ApiKeys::new(db.clone())).await?;
    }
    let listener =
        TcpListener::bind(address).map_err(|source| ServeError::Bind { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Bind { address, source })?;
    let state = Data::new(state(config, telemetry, db, address).await?);
    if !production {
        auth::first(&state.config, state.auth.keys()).await?;
    }
    let hub = Hub::start(state.clone(), address);
    let (stop_following, stopped) = oneshot::channel();
    // Stopped as well when nobody can say so any more.
    let stopped = stopped.map(drop);
    let following = tokio::spawn(switching::follow(state.clone(), stopped));
    let coherence = state.catalogue.shared().coherence.clone();
    let shared = state.clone();

    let server = state.config.server.clone();
    let workers = match server.workers {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        chosen => chosen,
    };
    let traced = telemetry.is_tracing();
    let patience = Patience::of(&server);
    let closing = state.closing.clone();
    let leaving = closing.clone();
    let deadline = Duration::from_millis(server.request_deadline_ms);
    let viewed = hub.clone();
    let app = move || {
        let leaving = leaving.clone();
        App::new()
            .app_data(state.clone())
            .app_data(PayloadConfig::new(server.max_body_bytes))
            .app_data(
                PathConfig::default()
                    .error_handler(|error, _| Problem::field("path", error.to_string()).into()),
            )
            .app_data(
                QueryConfig::default()
                    .error_handler(|error, _| Problem::field("query", error.to_string()).into()),
            )
            .wrap(from_fn(auth::writes))
            .wrap(from_fn(move |request, next| within(deadline, request, next)))
            .wrap(from_fn(unread::ended))
            .wrap(from_fn(move |request, next| told_to_leave(leaving.clone(), request, next)))
            .wrap(RequestMetrics::default())
            .wrap(Condition::new(traced, RequestTracing::new()))
            .configure(|service| {
                routes::configure(service, server.bench_routes);
                admin::configure(service);
                dashboard::configure(service, &viewed);
            })
            .default_service(web::to(routes::nothing))
    };
    let server = HttpServer::new(app)
        .workers(workers)
        .max_connections(server.max_connections.div_ceil(workers))
        .client_request_timeout(Duration::from_millis(server.client_request_timeout_ms))
        .client_disconnect_timeout(Duration::from_millis(server.client_disconnect_timeout_ms))
        .keep_alive(Duration::from_millis(server.keep_alive_ms))
        .disable_signals()
        .shutdown_timeout(patience.requests.as_millis().div_ceil(1_000) as u64);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    };
    let server = server.map_err(|source| ServeError::Bind { address, source })?.run();
    let handle = server.handle();
    tokio::spawn(closing.clone().on_signal(handle.clone(), patience.drain));
    let running = tokio::spawn(async move {
        let ended = server.await;
        hub.close();
        // It may have ended for another reason: then it does not listen.
        let _ = stop_following.send(());
        let rest = tokio::time::timeout(patience.journal, async {
            if following.await.is_err() {
                tracing::warn!("what was chosen was not followed any more");
            }
            if !shared.catalogue.drain(patience.journal * 4 / 5).await {
                tracing::info!("some writes are left to be applied by another process");
            }
            if let Some(coherence) = coherence {
                // Another process is to relay at once.
                coherence.resign().await;
            }
        });
        if rest.await.is_err() {
            tracing::warn!("the database did not answer: stopping without it");
        }
        ended
    });
    Ok(Server { address, scheme, handle, closing, drain: patience.drain, running })
}

impl From<FirstKeyError> for ServeError {
    fn from(error: FirstKeyError) -> Self {
        match error {
            FirstKeyError::Config(error) => Self::Config(error),
            FirstKeyError::Key(KeyError::Database(error)) => Self::Database(error),
            FirstKeyError::Key(error) => Self::Key(error),
        }
    }
}

/// Ends a request that takes longer than it may; what it waits for is dropped with it.
async fn within<B: MessageBody + 'static>(
    deadline: Duration,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    match tokio::time::timeout(deadline, next.call(request)).await {
        Ok(answer) => answer.map(ServiceResponse::map_into_left_body),
        Err(_elapsed) => {
            // An answer and no error: errors of middlewares are in no metric of HTTP. The request went
            // with its handler, and nothing outside of here looks at it again.
            let request = TestRequest::default().to_http_request();
            let answer = Problem::deadline().error_response();
            Ok(ServiceResponse::new(request, answer).map_into_right_body())
        }
    }
}
