//! For tests: a journal in memory, and what every journal must hold.

mod contract;
mod memory;
mod sink;

pub use self::contract::{Subject, journal_contract};
pub use self::memory::{MemoryJournal, Refused, Shelf, ShelfOperation, Target};
pub use self::sink::ShelfSink;
