//! How operations, and what they change, are written in the journal.

use std::collections::BTreeMap;

use catalog_domain::{
    Currency, Operation, Pending, Price, ProductId, Sku, Standing, Stock, StockChange, StockDelta,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An operation as JSON. The SQL functions of the journal read the same names.
#[derive(Deserialize, Serialize)]
#[serde(untagged, deny_unknown_fields)]
enum Stored {
    Price { price: StoredPrice },
    Stock { set: BTreeMap<Sku, Stock>, add: BTreeMap<Sku, i32> },
}

#[derive(Deserialize, Serialize)]
struct StoredPrice {
    minor: i64,
    currency: Currency,
}

/// An entry as a load selects it.
#[derive(Deserialize)]
pub(crate) struct PendingRow {
    operation: Stored,
    at: i64,
}

#[derive(Deserialize)]
struct StandingRow {
    price_minor: i64,
    currency: Currency,
    updated_at: i64,
    stock: BTreeMap<Sku, Stock>,
}

/// A change as `journal_apply` reads it.
#[derive(Serialize)]
pub(super) struct Change<'a> {
    pub(super) key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) price_minor: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) currency: Option<Currency>,
    pub(super) updated_at: i64,
    pub(super) stock: BTreeMap<&'a str, i32>,
    pub(super) positions: Vec<i64>,
}

/// The operation as JSON.
pub(crate) fn write(operation: &Operation) -> String {
    let stored = match operation {
        Operation::Price(price) => Stored::Price {
            price: StoredPrice { minor: price.minor(), currency: price.currency() },
        },
        Operation::Stock { set, add } => Stored::Stock {
            set: set.iter().map(|change| (change.sku.clone(), change.stock)).collect(),
            add: add.iter().map(|change| (change.sku.clone(), change.delta)).collect(),
        },
    };
    serde_json::to_string(&stored).expect("names are strings")
}

/// An operation of the journal.
pub(super) fn read(operation: &str, at_us: i64) -> Result<Pending, String> {
    let operation = serde_json::from_str(operation).map_err(|error| error.to_string())?;
    PendingRow { operation, at: at_us }.checked()
}

/// The answer of `journal_standing`.
pub(crate) fn standing(json: &str) -> Result<Standing, String> {
    let row: StandingRow = serde_json::from_str(json).map_err(|error| error.to_string())?;
    Ok(Standing {
        price: Price::new(row.price_minor, row.currency)?,
        updated_at: time(row.updated_at)?,
        stock: row.stock,
    })
}

/// The product of a key.
pub(super) fn key(id: ProductId) -> String {
    id.to_string()
}

impl PendingRow {
    /// The entry, if it is one that this release knows.
    pub(crate) fn checked(self) -> Result<Pending, String> {
        let operation = match self.operation {
            Stored::Price { price } => Operation::Price(Price::new(price.minor, price.currency)?),
            Stored::Stock { set, add } => Operation::Stock {
                set: set.into_iter().map(|(sku, stock)| StockChange { sku, stock }).collect(),
                add: add.into_iter().map(|(sku, delta)| StockDelta { sku, delta }).collect(),
            },
        };
        Ok(Pending { operation, at: time(self.at)? })
    }
}

fn time(us: i64) -> Result<Timestamp, String> {
    Timestamp::from_microsecond(us).map_err(|error| error.to_string())
}
