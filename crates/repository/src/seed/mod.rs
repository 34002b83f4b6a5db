//! Filling an empty catalogue: with generated products, or with a real shop's.

mod copy;
mod generate;
pub mod online_retail;
mod words;
mod zipf;

use catalog_domain::ValidationError;
use sqlx::{Connection, PgConnection};
use thiserror::Error;

use self::copy::Copier;
use self::generate::Generator;
use self::online_retail::OnlineRetail;

/// How large a generated catalogue is. The same options make the same catalogue, to the byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeedOptions {
    /// Products, with ids from 1.
    pub products: u32,
    /// Reviews, spread over the products by a Zipf law.
    pub reviews: u32,
    /// Exponent of that law: 0 spreads evenly, 1 gives the most popular product a tenth.
    pub exponent: f64,
    /// Where the generator starts.
    pub seed: u64,
}

/// How far a load is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The table being filled.
    pub table: &'static str,
    /// Rows sent, of all tables.
    pub rows: u64,
    /// Rows to send, of all tables.
    pub total: u64,
}

/// Why a catalogue could not be filled.
#[derive(Debug, Error)]
pub enum SeedError {
    /// There are products already.
    #[error("the catalogue is not empty: seeding would mix with what is there")]
    NotEmpty,
    /// Options that cannot work.
    #[error("{0}")]
    Options(ValidationError),
    /// The database cannot be reached, or refused.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// An input file cannot be read.
    #[error("{file}: {reason}")]
    File {
        /// The file.
        file: String,
        /// Why, with the line where there is one.
        reason: String,
    },
}

impl Default for SeedOptions {
    /// 50,000 products and 500,000 reviews.
    fn default() -> Self {
        Self { products: 50_000, reviews: 500_000, exponent: 1.0, seed: 1 }
    }
}

impl SeedOptions {
    fn validate(&self) -> Result<(), SeedError> {
        let refuse = |field, message| Err(SeedError::Options(ValidationError::new(field, message)));
        if !(1..=10_000_000).contains(&self.products) {
            return refuse("products", "must be from 1 to 10000000");
        }
        if self.reviews > 100_000_000 {
            return refuse("reviews", "must be at most 100000000");
        }
        if !(0.0..=5.0).contains(&self.exponent) {
            return refuse("exponent", "must be from 0 to 5");
        }
        Ok(())
    }
}

/// Whether there is no product yet.
///
/// # Errors
///
/// When the database does not answer.
pub async fn is_empty(admin_url: &str) -> Result<bool, SeedError> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let empty = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM products)")
        .fetch_one(&mut connection)
        .await?;
    connection.close().await?;
    Ok(empty)
}

/// Fills an empty catalogue with generated products.
///
/// # Errors
///
/// When it is not empty, options cannot work, or the database refuses; it then stays empty.
pub async fn generate(
    admin_url: &str,
    options: &SeedOptions,
    progress: impl FnMut(Progress) + Send,
) -> Result<(), SeedError> {
    options.validate()?;
    let generator = Generator::new(*options);
    let mut copier = Copier::begin(admin_url, generator.total(), progress).await?;
    copier.table("categories", "id, parent_id, slug, name", generator.categories()).await?;
    copier
        .table(
            "products",
            "id, sku, name, description, category_id, price_minor, currency, attributes, \
             created_at, updated_at",
            generator.products(),
        )
        .await?;
    copier.table("variants", "product_id, sku, name, stock", generator.variants()).await?;
    copier
        .table(
            "reviews",
            "product_id, rating, title, body, author, created_at",
            generator.reviews(),
        )
        .await?;
    // After the reviews: their trigger would look up who shows each reviewed product.
    copier
        .table("related_products", "product_id, position, related_id", generator.related())
        .await?;
    copier.finish().await
}

/// Fills an empty catalogue with the products of *Online Retail*.
///
/// # Errors
///
/// As [`generate`].
pub async fn import(
    admin_url: &str,
    retail: &OnlineRetail,
    progress: impl FnMut(Progress) + Send,
) -> Result<(), SeedError> {
    let total = 1 + 2 * retail.products().len() as u64;
    let mut copier = Copier::begin(admin_url, total, progress).await?;
    copier.table("categories", "id, slug, name", retail.category_rows()).await?;
    copier
        .table(
            "products",
            "id, sku, name, description, category_id, price_minor, currency",
            retail.product_rows(),
        )
        .await?;
    copier.table("variants", "product_id, sku, name, stock", retail.variant_rows()).await?;
    copier.finish().await
}
