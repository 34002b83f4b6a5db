//! Writes that can be acknowledged before they are applied, and what they do to a product.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use thiserror::Error;

use crate::draft::{Field, ProductPatch, StockChange, StockDelta};
use crate::error::ValidationError;
use crate::money::Price;
use crate::page::{ProductPage, ProductSummary, RelatedProduct};
use crate::text::Sku;
use crate::values::Stock;

/// A write that can wait. All other writes are applied when they are acknowledged.
///
/// Each is of price or of stock, for a patch of both could fail for its stock, and then would take
/// its price out of views that know nothing of stock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new price.
    Price(Price),
    /// Stock of variants: each SKU at most once.
    Stock {
        /// What there is now, whatever there was.
        set: Vec<StockChange>,
        /// What comes or goes.
        add: Vec<StockDelta>,
    },
}

/// A write that was acknowledged and is not yet applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What is to be done.
    pub operation: Operation,
    /// When it was acknowledged: the moment at which the product changed, for its readers.
    pub at: Timestamp,
}

/// Why a write cannot be applied to what is there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// There is no such product.
    #[error("there is no such product")]
    Absent,
    /// It names something that is not there, or breaks a rule.
    #[error("{0}")]
    Invalid(ValidationError),
}

/// The part of a product that operations change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it costs.
    pub price: Price,
    /// When its own row changed last.
    pub updated_at: Timestamp,
    /// The stock of its variants.
    pub stock: BTreeMap<Sku, Stock>,
}

/// Several operations as one, for what they were coalesced over and nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coalesced {
    /// The last price.
    pub price: Option<Price>,
    /// The stock that comes of them, of every variant that they name.
    pub stock: Vec<StockChange>,
    /// What comes of applying them.
    pub after: Standing,
    /// How many of the operations are in it: all before the first that cannot be applied.
    pub taken: usize,
    /// Why the next one cannot.
    pub refused: Option<Refusal>,
}

impl Refusal {
    /// What is said of a stock that would leave its bounds.
    #[must_use]
    pub fn out_of_bounds(list: &str) -> Self {
        Self::Invalid(ValidationError::new(list, "must stay from 0 to 1000000000"))
    }

    /// What is said of a variant that the product has not.
    #[must_use]
    pub fn no_variant(list: &str, index: usize) -> Self {
        let field = Field { list, index }.part("sku");
        Self::Invalid(ValidationError::new(field, "is no variant of this product"))
    }
}

impl Standing {
    /// Does all of `operation`, acknowledged `at`, or nothing of it.
    ///
    /// # Errors
    ///
    /// When a variant is not there, or its stock would leave its bounds.
    pub fn apply(&mut self, operation: &Operation, at: Timestamp) -> Result<(), Refusal> {
        match operation {
            Operation::Price(price) => {
                self.price = *price;
                // Direct SQL may have changed the row since: time does not go back.
                self.updated_at = self.updated_at.max(at);
            }
            Operation::Stock { set, add } => {
                for (sku, pieces) in self.stock_after(set, add)? {
                    *self.stock.get_mut(sku).expect("every SKU was looked up") = pieces;
                }
            }
        }
        Ok(())
    }

    fn stock_after<'a>(
        &self,
        set: &'a [StockChange],
        add: &'a [StockDelta],
    ) -> Result<Vec<(&'a Sku, Stock)>, Refusal> {
        let mut after = Vec::with_capacity(set.len() + add.len());
        for (index, change) in set.iter().enumerate() {
            if !self.stock.contains_key(&change.sku) {
                return Err(Refusal::no_variant("stock", index));
            }
            after.push((&change.sku, change.stock));
        }
        for (index, change) in add.iter().enumerate() {
            let list = "stock_delta";
            let now =
                self.stock.get(&change.sku).ok_or_else(|| Refusal::no_variant(list, index))?;
            let then = i64::from(now.get()) + i64::from(change.delta);
            let then = Stock::try_from(then).map_err(|_| Refusal::out_of_bounds(list))?;
            after.push((&change.sku, then));
        }
        Ok(after)
    }

    /// Makes one operation of `pending`, up to the first that cannot be applied.
    #[must_use]
    pub fn coalesce(&self, pending: &[Pending]) -> Coalesced {
        let mut after = self.clone();
        let mut price = None;
        let mut touched = BTreeSet::new();
        let (mut taken, mut refused) = (0, None);
        for entry in pending {
            if let Err(refusal) = after.apply(&entry.operation, entry.at) {
                refused = Some(refusal);
                break;
            }
            taken += 1;
            match &entry.operation {
                Operation::Price(new) => price = Some(*new),
                Operation::Stock { set, add } => {
                    touched.extend(set.iter().map(|change| &change.sku));
                    touched.extend(add.iter().map(|change| &change.sku));
                }
            }
        }
        let stock = touched
            .into_iter()
            .map(|sku| StockChange { sku: sku.clone(), stock: after.stock[sku] })
            .collect();
        Coalesced { price, stock, after, taken, refused }
    }

    /// What readers see: every operation of `pending` that can be applied, in order. One that
    /// cannot will be set aside, and what comes after it will be applied all the same.
    #[must_use]
    pub fn overlaid(mut self, pending: &[Pending]) -> Self {
        for entry in pending {
            // Atomic, and what cannot be done shows nothing.
            let _ = self.apply(&entry.operation, entry.at);
        }
        self
    }
}

impl ProductPage {
    /// Shows `pending` as if it had been applied to the page's own product.
    pub fn overlay(&mut self, pending: &[Pending]) {
        let stock = self.variants.iter().map(|v| (v.sku.clone(), v.stock)).collect();
        let standing = Standing { price: self.price, updated_at: self.updated_at, stock };
        let after = standing.overlaid(pending);
        (self.price, self.updated_at) = (after.price, after.updated_at);
        for variant in &mut self.variants {
            variant.stock = after.stock[&variant.sku];
        }
    }
}

impl ProductSummary {
    /// Shows `pending` as if it had been applied.
    pub fn overlay(&mut self, pending: &[Pending]) {
        if let Some((price, at)) = last_price(pending) {
            (self.price, self.updated_at) = (price, self.updated_at.max(at));
        }
    }
}

impl RelatedProduct {
    /// Shows `pending` as if it had been applied to the product shown.
    pub fn overlay(&mut self, pending: &[Pending]) {
        self.price = last_price(pending).map_or(self.price, |(price, _)| price);
    }
}

/// The last price, which nothing can refuse, and the latest moment at which one came.
fn last_price(pending: &[Pending]) -> Option<(Price, Timestamp)> {
    let prices = pending.iter().filter_map(|entry| match entry.operation {
        Operation::Price(price) => Some((price, entry.at)),
        Operation::Stock { .. } => None,
    });
    prices.reduce(|(_, before), (price, at)| (price, before.max(at)))
}

impl Operation {
    /// The operation that does what `patch` does.
    ///
    /// # Errors
    ///
    /// Gives back a patch of both price and stock: it cannot wait.
    pub fn of(patch: ProductPatch) -> Result<Self, ProductPatch> {
        match patch {
            ProductPatch { price: Some(price), stock, stock_delta }
                if stock.is_empty() && stock_delta.is_empty() =>
            {
                Ok(Self::Price(price))
            }
            ProductPatch { price: None, stock: set, stock_delta: add } => {
                Ok(Self::Stock { set, add })
            }
            both => Err(both),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::money::Currency;

    fn sku(number: u8) -> Sku {
        Sku::try_from(format!("V{number}")).expect("a SKU")
    }

    fn price(minor: i64) -> Price {
        Price::new(minor, Currency::try_from("EUR".to_owned()).expect("a currency")).expect("valid")
    }

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn set(number: u8, pieces: i64) -> StockChange {
        StockChange { sku: sku(number), stock: Stock::try_from(pieces).expect("a stock") }
    }

    fn standing(pieces: &[i64]) -> Standing {
        let stock = pieces
            .iter()
            .zip(0..)
            .map(|(pieces, number)| (sku(number), Stock::try_from(*pieces).expect("a stock")));
        Standing { price: price(1), updated_at: time(50), stock: stock.collect() }
    }

    fn operation() -> impl Strategy<Value = Operation> {
        let stock = (0u8..4, prop::option::of(0i64..20), -12i32..12, 0u8..4).prop_map(
            |(first, pieces, delta, second)| {
                let set: Vec<_> = pieces.map(|pieces| set(first, pieces)).into_iter().collect();
                let add = StockDelta { sku: sku(second), delta };
                let add = if set.iter().any(|s| s.sku == add.sku) { vec![] } else { vec![add] };
                Operation::Stock { set, add }
            },
        );
        prop_oneof![1 => (0i64..99).prop_map(|minor| Operation::Price(price(minor))), 4 => stock]
    }

    fn pending() -> impl Strategy<Value = Vec<Pending>> {
        prop::collection::vec((operation(), 0i64..100), 0..12).prop_map(|list| {
            list.into_iter()
                .map(|(operation, second)| Pending { operation, at: time(second) })
                .collect()
        })
    }

    proptest! {
        #[test]
        fn a_coalesced_operation_does_what_its_parts_do_one_after_the_other(
            pieces in prop::collection::vec(0i64..20, 3),
            pending in pending(),
        ) {
            let before = standing(&pieces);
            let coalesced = before.coalesce(&pending);
            let mut one_by_one = before.clone();
            for (index, entry) in pending.iter().enumerate() {
                let applied = one_by_one.apply(&entry.operation, entry.at);
                prop_assert_eq!(applied.is_ok(), index < coalesced.taken);
                if let Err(refusal) = applied {
                    prop_assert_eq!(Some(&refusal), coalesced.refused.as_ref());
                    break;
                }
            }
            prop_assert_eq!(&one_by_one, &coalesced.after);
            // What is written: the price, and the stocks, without anything relative.
            let mut written = before;
            written.price = coalesced.price.unwrap_or(written.price);
            written.updated_at = coalesced.after.updated_at;
            for change in &coalesced.stock {
                written.stock.insert(change.sku.clone(), change.stock);
            }
            prop_assert_eq!(written, one_by_one);
        }

        #[test]
        fn readers_see_the_same_however_much_of_what_is_pending_was_applied(
            pieces in prop::collection::vec(0i64..20, 3),
            pending in pending(),
            split in 0usize..12,
        ) {
            let before = standing(&pieces);
            let seen = before.clone().overlaid(&pending);
            let first = &pending[..split.min(pending.len())];
            let coalesced = before.coalesce(first);
            let rest = &pending[coalesced.taken..];
            prop_assert_eq!(&coalesced.after.clone().overlaid(rest), &seen);
            if coalesced.refused.is_some() {
                // Set aside: what comes after it is seen as before.
                prop_assert_eq!(&coalesced.after.overlaid(&rest[1..]), &seen);
            }
        }
    }

    #[test]
    fn an_order_beyond_the_stock_is_refused_whole() {
        let mut standing = standing(&[5, 5]);
        let before = standing.clone();
        let order = |delta| Operation::Stock {
            set: vec![set(0, 1)],
            add: vec![StockDelta { sku: sku(1), delta }],
        };
        let refused = standing.apply(&order(-6), time(60));
        assert_eq!(refused, Err(Refusal::out_of_bounds("stock_delta")));
        assert_eq!(standing, before);
        standing.apply(&order(-5), time(60)).expect("there are five");
        assert_eq!((standing.stock[&sku(0)].get(), standing.stock[&sku(1)].get()), (1, 0));
    }

    #[test]
    fn a_patch_of_price_and_stock_cannot_wait() {
        let both =
            ProductPatch { price: Some(price(2)), stock: vec![set(0, 1)], stock_delta: vec![] };
        assert_eq!(Operation::of(both.clone()), Err(both));
        let stock = ProductPatch { stock: vec![set(0, 1)], ..ProductPatch::default() };
        assert_eq!(
            Operation::of(stock),
            Ok(Operation::Stock { set: vec![set(0, 1)], add: vec![] })
        );
    }
}
