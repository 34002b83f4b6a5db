//! What every worker shares.

use bytes::Bytes;
use catalog_domain::{RepositoryError, View};
use catalog_repository::PostgresCatalogue;
use catalog_service::{Catalogue, NamespaceSettings};
use larder_postgres::{Database, adopt_strategy};
use larder_telemetry::Registry;

use crate::closing::Closing;
use crate::config::Config;

/// The state of the application.
pub(crate) struct State {
    pub(crate) catalogue: Catalogue<PostgresCatalogue>,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) filler: Bytes,
    pub(crate) closing: Closing,
    /// What the change feed is read from, where that is another role's.
    pub(crate) feed: Option<Database>,
}

impl State {
    /// Declares in the database that `view` runs under these settings, and puts them in force
    /// with the floor that follows.
    pub(crate) async fn adopt(
        &self,
        view: View,
        mut settings: NamespaceSettings,
    ) -> Result<(), RepositoryError> {
        let db = self.catalogue.repository().database();
        let (namespace, strategy) = (view.namespace(), settings.strategy.as_str());
        let epoch = adopt_strategy(db, namespace, strategy)
            .await
            .map_err(|error| RepositoryError::Unavailable(Box::new(error)))?;
        settings.options.floor_epoch = epoch;
        db.ledger().set_strategy(namespace, strategy);
        self.catalogue
            .switch(view, settings)
            .map_err(|error| RepositoryError::Internal(Box::new(error)))
    }
}
