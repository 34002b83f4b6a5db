#![doc = include_str!("../README.md")]

mod cache_aside;
mod condition;
mod error;
mod namespace;
mod none;
mod overlaid;
mod pending;
mod read_through;
mod refresh_ahead;
mod rendered;
mod reply;
mod service;
mod shadow;
mod strategy;
mod ttl;
mod write_behind;
mod write_through;

pub use condition::Condition;
pub use error::CatalogueError;
pub use pending::{Dictionary, JournaledPatches, PendingWrites, Taken};
pub use reply::{CacheStatus, Reply, Source};
pub use service::{Catalogue, Receipt, Shared};
pub use strategy::{NamespaceSettings, Strategy, Tiers, UnknownName};

#[cfg(test)]
mod tests;
