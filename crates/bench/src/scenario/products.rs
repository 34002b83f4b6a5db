//! The products of a catalogue, as requests are made from them.

use std::sync::Arc;

use anyhow::Result;

use crate::bed::{largest_category, next_product_id, products_by_popularity};

/// What requests are made from.
#[derive(Clone, Debug)]
pub struct Products {
    /// All ids, the most popular first.
    pub by_rank: Arc<[u32]>,
    /// A category that holds many of them, by its slug: new products go there, and it is listed.
    pub category: Arc<str>,
    /// The id that the next new product will have.
    pub next_id: u32,
}

impl Products {
    /// Those that are in the catalogue of `admin_url` now.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer, or there are none.
    pub async fn read(admin_url: &str) -> Result<Self> {
        Ok(Self {
            category: largest_category(admin_url).await?.into(),
            by_rank: products_by_popularity(admin_url).await?.into(),
            next_id: next_product_id(admin_url).await?,
        })
    }
}
