//! The composition root: everything is made here, once.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{Condition, Next, from_fn};
use actix_web::web::{Data, PathConfig, PayloadConfig, QueryConfig};
use actix_web::{App, HttpServer, web};
use catalog_domain::{RepositoryError, View};
use catalog_repository::{ApiKeys, PostgresCatalogue};
use catalog_service::{Catalogue, Shared};
use futures_util::FutureExt;
use larder::{L2, Metrics, Mode, RedisTier};
use larder_postgres::{Choices, Database};
use larder_telemetry::Telemetry;
use opentelemetry_instrumentation_actix_web::{RequestMetrics, RequestTracing};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::admin;
use crate::app::State;
use crate::auth::{self, Auth, FirstKeyError, KeyError};
use crate::closing::{Closing, Patience, told_to_leave};
use crate::coherence;
use crate::config::{Config, ConfigError};
use crate::dashboard::{self, Hub};
use crate::problem::Problem;
use crate::routes;
use crate::switching::{self, Switching};
use crate::writes;

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

fn database(config: &Config) -> Result<Database, ConfigError> {
    let db = Database::new(&config.database_options());
    db.map_err(|error| ConfigError::value("database", error.to_string()))
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

async fn state(
    config: Config,
    telemetry: &Telemetry,
    db: Database,
    address: SocketAddr,
) -> Result<State, ServeError> {
    let option = |section: &'static str| move |error: String| ConfigError::value(section, error);
    let tier = RedisTier::connect(config.redis_options()?)
        .map_err(|error| option("redis")(error.to_string()))?;
    let l2 = Arc::new(L2::Redis(tier));
    let meter = telemetry.meter();
    db.ledger().register(&meter);
    let kept = coherence::keep(&config, &db, &l2, &meter).await?;
    let shared = Shared {
        environment: config.cache.environment.clone(),
        l2,
        metrics: Arc::new(Metrics::default()),
        coherence: Some(Arc::clone(&kept.coherence)),
    };
    shared.metrics.register(&meter, &shared.l2);

    let mut settings = Vec::new();
    for view in View::ALL {
        settings.push((view, config.namespace(view)?));
    }
    let of = |view: View| {
        let found = settings.iter().find(|(known, _)| *known == view);
        found.expect("every view has settings").1.clone()
    };
    let follower = kept.feed.clone().unwrap_or_else(|| db.clone());
    let lasting = Duration::from_millis(config.server.key_memory_ms);
    let auth = Auth::new(&config.server.admin_key, ApiKeys::new(db.clone()), lasting);
    let repository = PostgresCatalogue::new(db);
    let (mode, waiting) = (config.write_behind.mode()?, config.write_behind.options()?);
    // What was journaled in another mode is applied in any.
    let journaled = writes::journaled(&repository, waiting.clone(), &meter)?;
    let other = match mode {
        Mode::Journaled => None,
        Mode::Replicated => {
            let place = config.replicated_options()?;
            Some(writes::replicated(&repository, &place, waiting, &meter)?)
        }
        Mode::Volatile => Some(writes::volatile(&repository, waiting, &meter)?),
    };
    let catalogue = Catalogue::new(repository, shared, of)
        .map_err(|error| option("namespaces")(error.to_string()))?
        .sampling(config.verify.sample);
    let catalogue = match other {
        None => catalogue.journaling(journaled).await,
        Some(other) => catalogue.journaling(other).await.clearing(journaled).await,
    };
    let filler =
        if config.server.bench_routes { routes::bench::filler() } else { Default::default() };
    let environment = &config.cache.environment;
    let choices = Choices::new(follower, environment, &address.to_string());
    let switching = Switching::new(choices, environment, settings);
    switching.follow(&catalogue).await?;
    coherence::settle(&kept.coherence).await;
    let (registry, feed) = (telemetry.registry(), kept.feed);
    let closing = Closing::default();
    Ok(State { catalogue, config, registry, filler, closing, feed, auth, switching })
}

/// Ends a request that takes longer than it may; what it waits for is dropped with it.
async fn within<B: MessageBody + 'static>(
    deadline: Duration,
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    tokio::time::timeout(deadline, next.call(request))
        .await
        .unwrap_or_else(|_elapsed| Err(Problem::deadline().into()))
}
