//! What writers send, checked: a value of these types can be stored.

use crate::error::Problems;
use crate::money::Price;
use crate::text::{
    Attributes, Author, Description, ProductName, ReviewBody, ReviewTitle, Sku, Slug, VariantName,
};
use crate::values::{ProductId, Rating, Stock};

/// The most variants a product has.
const MAX_VARIANTS: usize = 100;
/// The most related products a product has.
const MAX_RELATED: usize = 20;

/// A product to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewProduct {
    /// Its stock-keeping unit, unique in the catalogue.
    pub sku: Sku,
    /// All the rest.
    pub content: ProductReplacement,
}

/// Everything about a product but its id and SKU: replaced as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProductReplacement {
    /// What it is called.
    pub name: ProductName,
    /// What it is.
    pub description: Description,
    /// The innermost category.
    pub category: Slug,
    /// What it costs.
    pub price: Price,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its variants, SKUs unique among them.
    pub variants: Vec<NewVariant>,
    /// Products shown beside it, in this order.
    pub related: Vec<ProductId>,
}

/// A variant to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVariant {
    /// Its stock-keeping unit.
    pub sku: Sku,
    /// What it is called.
    pub name: VariantName,
    /// How many pieces there are.
    pub stock: Stock,
}

/// A change of price or stock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProductPatch {
    /// The new price.
    pub price: Option<Price>,
    /// New stock of some variants.
    pub stock: Vec<StockChange>,
    /// Changes of stock of some variants, relative to what it is.
    pub stock_delta: Vec<StockDelta>,
}

/// The new stock of a variant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockChange {
    /// Which variant.
    pub sku: Sku,
    /// How many pieces there are now.
    pub stock: Stock,
}

/// A change of a variant's stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StockDelta {
    /// Which variant.
    pub sku: Sku,
    /// How many pieces come (or go, when negative); stock never goes below zero.
    pub delta: i32,
}

/// A review to add.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReview {
    /// Its stars.
    pub rating: Rating,
    /// Its heading.
    pub title: ReviewTitle,
    /// Its text.
    pub body: ReviewBody,
    /// Who signs it.
    pub author: Author,
}

/// The name of a field, for a message: `stock[2].sku`.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    /// The list.
    pub list: &'a str,
    /// The place in it, from 0.
    pub index: usize,
}

impl Field<'_> {
    /// The path of a part of the element.
    #[must_use]
    pub fn part(self, name: &str) -> String {
        format!("{}[{}].{name}", self.list, self.index)
    }
}

impl ProductReplacement {
    /// Notes what no single field can tell: too many parts, or one twice.
    pub fn check(&self, problems: &mut Problems) {
        if self.variants.len() > MAX_VARIANTS {
            problems.add("variants", format!("must be at most {MAX_VARIANTS}"));
        }
        if self.related.len() > MAX_RELATED {
            problems.add("related", format!("must be at most {MAX_RELATED}"));
        }
        unique("variants", self.variants.iter().map(|variant| &variant.sku), problems);
        for (index, id) in self.related.iter().enumerate() {
            if self.related[..index].contains(id) {
                problems.add(format!("related[{index}]"), "is there twice");
            }
        }
    }
}

impl ProductPatch {
    /// Notes what no single field can tell: nothing to do, or a variant twice.
    pub fn check(&self, problems: &mut Problems) {
        if self.price.is_none() && self.stock.is_empty() && self.stock_delta.is_empty() {
            problems.add("price", "or stock or stock_delta must be there");
        }
        for (list, length) in [("stock", self.stock.len()), ("stock_delta", self.stock_delta.len())]
        {
            if length > MAX_VARIANTS {
                problems.add(list, format!("must be at most {MAX_VARIANTS}"));
            }
        }
        unique("stock", self.stock.iter().map(|change| &change.sku), problems);
        unique("stock_delta", self.stock_delta.iter().map(|change| &change.sku), problems);
        for (index, change) in self.stock_delta.iter().enumerate() {
            if self.stock.iter().any(|other| other.sku == change.sku) {
                let field = Field { list: "stock_delta", index }.part("sku");
                problems.add(field, "is in stock as well: which of the two counts?");
            }
        }
    }
}

fn unique<'a>(list: &str, skus: impl Iterator<Item = &'a Sku>, problems: &mut Problems) {
    let mut seen = Vec::new();
    for (index, sku) in skus.enumerate() {
        if seen.contains(&sku) {
            problems.add(Field { list, index }.part("sku"), "is there twice");
        }
        seen.push(sku);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sku(text: &str) -> Sku {
        Sku::try_from(text.to_owned()).expect("a SKU")
    }

    #[test]
    fn a_patch_without_a_change_or_with_two_for_one_variant_is_refused() {
        let fields = |patch: &ProductPatch| {
            let mut problems = Problems::default();
            patch.check(&mut problems);
            problems.0.into_iter().map(|problem| problem.field).collect::<Vec<_>>()
        };
        assert_eq!(fields(&ProductPatch::default()), ["price"]);
        let stock = Stock::try_from(1).expect("a stock");
        let patch = ProductPatch {
            price: None,
            stock: vec![StockChange { sku: sku("a"), stock }, StockChange { sku: sku("a"), stock }],
            stock_delta: vec![StockDelta { sku: sku("a"), delta: -1 }],
        };
        assert_eq!(fields(&patch), ["stock[1].sku", "stock_delta[0].sku"]);
    }
}
