//! What every worker shares.

use bytes::Bytes;
use catalog_repository::PostgresCatalogue;
use catalog_service::Catalogue;
use larder_postgres::Database;
use larder_telemetry::Registry;

use crate::auth::Auth;
use crate::closing::Closing;
use crate::config::Config;
use crate::switching::Switching;

/// The state of the application.
pub(crate) struct State {
    pub(crate) catalogue: Catalogue<PostgresCatalogue>,
    pub(crate) config: Config,
    pub(crate) registry: Registry,
    pub(crate) filler: Bytes,
    pub(crate) closing: Closing,
    /// What the change feed is read from, where that is another role's.
    pub(crate) feed: Option<Database>,
    /// Who may write and administer.
    pub(crate) auth: Auth,
    /// The strategies that are chosen for all processes.
    pub(crate) switching: Switching,
}
