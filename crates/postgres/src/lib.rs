#![doc = include_str!("../README.md")]

mod database;
mod executor;
mod ledger;
mod statement;
mod versions;

pub use database::{Database, DatabaseError, DatabaseOptions, Transaction};
pub use executor::Counted;
pub use ledger::{Ledger, LedgerRow, Totals};
pub use statement::{Purpose, Statement};
pub use versions::{Change, adopt_strategy, changes};
