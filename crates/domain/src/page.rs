//! What readers get.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::money::Price;
use crate::text::{
    Attributes, Author, Description, ProductName, ReviewBody, ReviewTitle, Sku, Slug, VariantName,
};
use crate::values::{ProductId, Rating, ReviewId, Stock};

/// The full product page: what a shop computes for every view of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProductPage {
    /// Its id.
    pub id: ProductId,
    /// Its stock-keeping unit.
    pub sku: Sku,
    /// What it is called.
    pub name: ProductName,
    /// What it is.
    pub description: Description,
    /// Its categories, the outermost first.
    pub category_path: Vec<CategoryRef>,
    /// What it costs.
    pub price: Price,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its variants, with their stock, by SKU.
    pub variants: Vec<Variant>,
    /// What all its reviews say together.
    pub rating: RatingSummary,
    /// Its latest reviews, the newest first.
    pub latest_reviews: Vec<Review>,
    /// Products shown beside it, in the shop's order.
    pub related: Vec<RelatedProduct>,
    /// When its own row changed last.
    pub updated_at: Timestamp,
}

/// The cheap read beside the page: one row by its primary key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductSummary {
    /// Its id.
    pub id: ProductId,
    /// Its stock-keeping unit.
    pub sku: Sku,
    /// What it is called.
    pub name: ProductName,
    /// What it costs.
    pub price: Price,
    /// When its row changed last.
    pub updated_at: Timestamp,
}

/// A category on the way to a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryRef {
    /// Its name in URLs.
    pub slug: Slug,
    /// Its name for people.
    pub name: String,
}

/// A variant of a product.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variant {
    /// Its stock-keeping unit.
    pub sku: Sku,
    /// What it is called.
    pub name: VariantName,
    /// How many pieces there are.
    pub stock: Stock,
}

/// What all reviews of a product say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RatingSummary {
    /// How many there are.
    pub count: u64,
    /// Mean of the stars, rounded to hundredths; 0 where there is none.
    pub average: f64,
    /// How many gave 1, 2, 3, 4 and 5 stars.
    pub histogram: [u64; 5],
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: ReviewId,
    /// Its stars.
    pub rating: Rating,
    /// Its heading.
    pub title: ReviewTitle,
    /// Its text.
    pub body: ReviewBody,
    /// Who signed it.
    pub author: Author,
    /// When it was written.
    pub created_at: Timestamp,
}

/// A product shown beside another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RelatedProduct {
    /// Its id.
    pub id: ProductId,
    /// What it is called.
    pub name: ProductName,
    /// What it costs.
    pub price: Price,
    /// Mean of its stars, rounded to hundredths; 0 without reviews.
    pub rating_average: f64,
    /// How many reviews it has.
    pub rating_count: u64,
}

impl RatingSummary {
    /// The summary of a histogram.
    #[must_use]
    pub fn of(histogram: [u64; 5]) -> Self {
        let count: u64 = histogram.iter().sum();
        let stars: u64 = histogram.iter().zip(1..).map(|(count, stars)| count * stars).sum();
        Self { count, average: average(stars, count), histogram }
    }
}

/// The mean of `count` ratings with `stars` in all, rounded half up to hundredths.
#[must_use]
pub(crate) fn average(stars: u64, count: u64) -> f64 {
    if count == 0 {
        return 0.0;
    }
    ((stars * 200 + count) / (2 * count)) as f64 / 100.0
}

impl RelatedProduct {
    /// The mean of `count` ratings with `stars` in all, as it is shown.
    #[must_use]
    pub fn mean(stars: u64, count: u64) -> f64 {
        average(stars, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_rounded_to_hundredths() {
        assert_eq!(RatingSummary::of([0; 5]), RatingSummary::default());
        let summary = RatingSummary::of([1, 0, 0, 0, 2]);
        assert_eq!((summary.count, summary.average), (3, 3.67));
        assert_eq!(RatingSummary::of([0, 0, 0, 0, 9]).average, 5.0);
    }
}
