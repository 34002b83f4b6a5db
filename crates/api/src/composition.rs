//! The composition root: what the requests share is made here, once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catalog_domain::View;
use catalog_repository::{ApiKeys, PostgresCatalogue};
use catalog_service::{Catalogue, Shared};
use larder::{L2, Metrics, Mode, RedisTier};
use larder_postgres::{Choices, Database};
use larder_telemetry::Telemetry;

use crate::app::State;
use crate::auth::Auth;
use crate::closing::Closing;
use crate::coherence;
use crate::config::{Config, ConfigError};
use crate::routes;
use crate::server::ServeError;
use crate::switching::Switching;
use crate::writes;

/// The way to Postgres; nothing is asked yet.
pub(crate) fn database(config: &Config) -> Result<Database, ConfigError> {
    let db = Database::new(&config.database_options());
    db.map_err(|error| ConfigError::value("database", error.to_string()))
}

/// Everything that the requests of a process share, which listens on `address`.
pub(crate) async fn state(
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
