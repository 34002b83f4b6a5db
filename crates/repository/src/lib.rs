#![doc = include_str!("../README.md")]

mod api_keys;
mod create;
mod deferred;
mod delete;
mod errors;
mod journal;
mod listing;
mod migrate;
mod newest;
mod page;
mod patch;
mod replace;
mod retry;
mod review;
mod row;
pub mod seed;
mod statements;
mod store;
mod summary;
mod write;

pub use api_keys::{ApiKeys, NewKey, ShownKey, StoredKey};
pub use deferred::{CatalogueSink, ProductState};
pub use errors::translate;
pub use journal::{CatalogueApplier, CatalogueJournal, journal_key};
pub use migrate::{MigrateError, migrate, pending_migrations};
pub use page::PAGE_SQL;
pub use store::PostgresCatalogue;
