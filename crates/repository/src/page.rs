//! The full product page, in one statement.

use catalog_domain::{
    CategoryRef, Currency, Price, ProductId, ProductPage, Rating, RatingSummary, RelatedProduct,
    RepositoryError, Review, ReviewId, Revised, Stock, Variant, View,
};
use jiff::Timestamp;
use larder_postgres::{Database, Statement};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sqlx::types::Json;

use crate::errors::translate;
use crate::journal::PendingRow;
use crate::row::Reader;
use crate::statements::{load, pending};
use crate::summary::price;

const STATEMENT: Statement = load(View::ProductPage, "products");

/// The statement behind a product page: value and version in one snapshot; one row, also for a
/// product that is not there.
///
/// It joins the product with its path of categories, its variants, its latest reviews and its
/// related products, and sums up all ratings of the product and of each related one. What is pending
/// in the journal, for the product or one that it shows, comes along, and is shown as applied.
pub const PAGE_SQL: &str = concat!(
    "
WITH RECURSIVE path AS (
    SELECT c.id, c.parent_id, c.slug, c.name, 0 AS distance
    FROM products p JOIN categories c ON c.id = p.category_id
    WHERE p.id = $1
    UNION ALL
    SELECT c.id, c.parent_id, c.slug, c.name, path.distance + 1
    FROM path JOIN categories c ON c.id = path.parent_id
)
SELECT
    p.id, p.sku, p.name, p.description, p.price_minor, p.currency, p.attributes,
    (extract(epoch FROM p.updated_at) * 1000000)::bigint AS updated_at,
    coalesce(v.version, 0) AS version,
    coalesce((SELECT e.epoch FROM larder.epochs e WHERE e.namespace = 'product-page'), 0) AS epoch,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('slug', path.slug, 'name', path.name)
                               ORDER BY path.distance DESC), '[]')
     FROM path) AS category_path,
    (SELECT coalesce(jsonb_agg(jsonb_build_object('sku', x.sku, 'name', x.name, 'stock', x.stock)
                               ORDER BY x.sku), '[]')
     FROM variants x WHERE x.product_id = p.id) AS variants,
    (SELECT jsonb_build_array(
         count(*) FILTER (WHERE r.rating = 1), count(*) FILTER (WHERE r.rating = 2),
         count(*) FILTER (WHERE r.rating = 3), count(*) FILTER (WHERE r.rating = 4),
         count(*) FILTER (WHERE r.rating = 5))
     FROM reviews r WHERE r.product_id = p.id) AS histogram,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', r.id, 'rating', r.rating, 'title', r.title, 'body', r.body,
                'author', r.author,
                'created_at', (extract(epoch FROM r.created_at) * 1000000)::bigint)
                ORDER BY r.created_at DESC, r.id DESC), '[]')
     FROM (SELECT * FROM reviews r WHERE r.product_id = p.id
           ORDER BY r.created_at DESC, r.id DESC LIMIT 5) r) AS latest_reviews,
    (SELECT coalesce(jsonb_agg(jsonb_build_object(
                'id', q.id, 'name', q.name, 'price_minor', q.price_minor, 'currency', q.currency,
                'count', s.count, 'stars', s.stars,
                'pending', ",
    pending!("q"),
    ") ORDER BY l.position), '[]')
     FROM related_products l
     JOIN products q ON q.id = l.related_id
     CROSS JOIN LATERAL (SELECT count(*) AS count, coalesce(sum(r.rating), 0) AS stars
                         FROM reviews r WHERE r.product_id = q.id) s
     WHERE l.product_id = p.id) AS related,
    ",
    pending!("p"),
    " AS pending
FROM (VALUES ($1::bigint)) AS asked (id)
LEFT JOIN products p ON p.id = asked.id
LEFT JOIN larder.versions v ON v.namespace = 'product-page' AND v.key = asked.id::text"
);

#[derive(Deserialize)]
struct CategoryRow {
    slug: String,
    name: String,
}

#[derive(Deserialize)]
struct VariantRow {
    sku: String,
    name: String,
    stock: i64,
}

#[derive(Deserialize)]
struct ReviewRow {
    id: i64,
    rating: i64,
    title: String,
    body: String,
    author: String,
    created_at: i64,
}

#[derive(Deserialize)]
struct RelatedRow {
    id: i64,
    name: String,
    price_minor: i64,
    currency: String,
    count: u64,
    stars: u64,
    pending: Option<Vec<PendingRow>>,
}

pub(crate) async fn page(
    db: &Database,
    id: ProductId,
) -> Result<Revised<Option<ProductPage>>, RepositoryError> {
    let row = sqlx::query(PAGE_SQL)
        .bind(id.get())
        .fetch_one(db.counted(STATEMENT))
        .await
        .map_err(translate)?;
    let row = Reader::new(&row, "products", id);
    let revision = row.revision()?;
    if !row.is_there()? {
        return Ok(Revised { revision, value: None });
    }
    let mut value = ProductPage {
        id,
        sku: row.checked::<String, _>("sku")?,
        name: row.checked::<String, _>("name")?,
        description: row.checked::<String, _>("description")?,
        category_path: list(&row, "category_path", |c: CategoryRow| {
            Ok(CategoryRef { slug: c.slug.try_into()?, name: c.name })
        })?,
        price: price(&row)?,
        attributes: row.get::<Json<_>>("attributes")?.0,
        variants: list(&row, "variants", |v: VariantRow| {
            let stock = Stock::try_from(v.stock)?;
            Ok(Variant { sku: v.sku.try_into()?, name: v.name.try_into()?, stock })
        })?,
        rating: RatingSummary::of(row.get::<Json<[u64; 5]>>("histogram")?.0),
        latest_reviews: list(&row, "latest_reviews", |r: ReviewRow| {
            Ok(Review {
                id: ReviewId::try_from(r.id)?,
                rating: Rating::try_from(r.rating)?,
                title: r.title.try_into()?,
                body: r.body.try_into()?,
                author: r.author.try_into()?,
                created_at: Timestamp::from_microsecond(r.created_at)
                    .map_err(|error| error.to_string())?,
            })
        })?,
        related: list(&row, "related", |q: RelatedRow| {
            let mut related = RelatedProduct {
                id: ProductId::try_from(q.id)?,
                name: q.name.try_into()?,
                price: Price::new(q.price_minor, Currency::try_from(q.currency)?)?,
                rating_average: RelatedProduct::mean(q.stars, q.count),
                rating_count: q.count,
            };
            let pending = q.pending.into_iter().flatten().map(PendingRow::checked);
            related.overlay(&pending.collect::<Result<Vec<_>, _>>()?);
            Ok(related)
        })?,
        updated_at: row.time("updated_at")?,
    };
    value.overlay(&row.pending()?);
    Ok(Revised { revision, value: Some(value) })
}

/// A list that was gathered into one column.
fn list<S: DeserializeOwned, T>(
    row: &Reader<'_>,
    column: &'static str,
    convert: impl Fn(S) -> Result<T, String>,
) -> Result<Vec<T>, RepositoryError> {
    let Json(stored) = row.get::<Json<Vec<S>>>(column)?;
    stored.into_iter().map(|s| convert(s).map_err(|problem| row.corrupt(column, problem))).collect()
}
