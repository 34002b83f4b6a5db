//! What visitors of a real shop did, from its orders.

use catalog_repository::seed::online_retail::OnlineRetail;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Access, Op};
use crate::floor::floor;

/// Looks come at most so many order lines before the order that they led to; named in [`visits`].
const WINDOW: usize = 2_000;

/// A step of a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A look at a product's page.
    Look(u32),
    /// The order line with this index: a change of stock.
    Order(usize),
}

/// The first `limit` order lines (0: all) as a sequence of looks and orders.
///
/// The data set has orders, no looks. The last look at a page comes right before its order;
/// the other `looks - 1` are spread evenly at random over the 2,000 lines before it, as
/// visitors look more often than they buy. With one look for each order no cache can help, for
/// every order changes the page that it was led to by.
#[must_use]
pub fn visits(shop: &OnlineRetail, limit: usize, looks: usize, seed: u64) -> Vec<Step> {
    let count = if limit == 0 { shop.orders().len() } else { limit.min(shop.orders().len()) };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut before: Vec<Vec<u32>> = vec![Vec::new(); count];
    for (index, line) in shop.orders()[..count].iter().enumerate() {
        let product = product(line.product.get());
        for _ in 1..looks.max(1) {
            let back = random.random_range(0..WINDOW);
            before[index.saturating_sub(back)].push(product);
        }
    }
    let mut steps = Vec::with_capacity(count * (looks + 1));
    for (index, looked_at) in before.into_iter().enumerate() {
        steps.extend(looked_at.into_iter().map(Step::Look));
        steps.push(Step::Look(product(shop.orders()[index].product.get())));
        steps.push(Step::Order(index));
    }
    steps
}

/// The fewest loads with which a cache can answer every look, one step at a time: each order
/// changes the page of its product.
#[must_use]
pub fn fewest_loads(shop: &OnlineRetail, steps: &[Step]) -> u64 {
    let access = |step: &Step| match step {
        Step::Look(id) => Access { at_us: 0, key: *id, op: Op::Read },
        Step::Order(index) => {
            let key = product(shop.orders()[*index].product.get());
            Access { at_us: 0, key, op: Op::Write }
        }
    };
    floor(steps.iter().map(access), None).loads()
}

fn product(id: i64) -> u32 {
    u32::try_from(id).expect("thousands of products")
}
