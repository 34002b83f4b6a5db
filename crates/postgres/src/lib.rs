#![doc = include_str!("../README.md")]

mod choices;
mod database;
mod doorbell;
mod executor;
mod feed;
mod invalidate;
mod journal;
mod ledger;
mod statement;
mod versions;

pub use choices::{
    Choice, Choices, Chosen, Heard, NamespaceState, Process, Report, choose_strategy,
};
pub use database::{Database, DatabaseError, DatabaseOptions, Transaction};
pub use executor::Counted;
pub use feed::{FeedOptions, PostgresFeed, PostgresFeedError};
pub use invalidate::{clear, invalidate_key, invalidate_tag};
pub use journal::{
    Applier, Coalesced, Entry, Outcome, PostgresJournal, Refused, Taken, apply, gave_way, settle,
    taken,
};
/// The ports of journals, for who applies entries and knows no cache, and what their tests need.
pub use larder::{
    Base, DeadLetter, Deferred, FlushOptions, Flushed, Journal, JournalError, JournalState,
    Journaled, Made, Settled, Sink, Version, VolatileJournal, Write, WriteState, testing,
};
pub use ledger::{Ledger, LedgerRow, Totals};
pub use statement::{Purpose, Statement};
pub use versions::{Change, adopt_strategy, changes};
