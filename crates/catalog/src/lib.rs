#![doc = include_str!("../README.md")]

mod cache_aside;
mod error;
mod namespace;
mod none;
mod read_through;
mod refresh_ahead;
mod rendered;
mod reply;
mod service;
mod shadow;
mod strategy;
mod ttl;
mod write_through;

pub use error::CatalogueError;
pub use reply::{CacheStatus, Reply, Source};
pub use service::{Catalogue, Shared};
pub use strategy::{NamespaceSettings, Strategy, Tiers, UnknownName};

#[cfg(test)]
mod tests;
