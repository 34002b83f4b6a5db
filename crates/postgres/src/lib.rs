#![doc = include_str!("../README.md")]

mod database;
mod doorbell;
mod executor;
mod feed;
mod ledger;
mod statement;
mod versions;

pub use database::{Database, DatabaseError, DatabaseOptions, Transaction};
pub use executor::Counted;
pub use feed::{FeedOptions, PostgresFeed, PostgresFeedError};
pub use ledger::{Ledger, LedgerRow, Totals};
pub use statement::{Purpose, Statement};
pub use versions::{Change, adopt_strategy, changes};
