//! The engine over journals in memory.

mod engine;
mod journals;
mod properties;

use std::sync::Arc;
use std::time::Duration;

use crate::testing::{MemoryJournal, Shelf, ShelfOperation};
use crate::write::{FlushOptions, Tell, Write, WriteBehindOptions};

fn shelf() -> MemoryJournal<Shelf> {
    MemoryJournal::new(Shelf::default())
}

fn write(key: usize, operation: ShelfOperation) -> Write<ShelfOperation> {
    Write { key: format!("key {key}"), operation }
}

fn add(key: usize, amount: i64) -> Write<ShelfOperation> {
    write(key, ShelfOperation::Add(amount))
}

fn nobody() -> Tell {
    Arc::new(|_changes| Box::pin(async {}))
}

fn options() -> WriteBehindOptions {
    let flush = FlushOptions { entries: 100, attempts: 2, backoff: Duration::from_millis(10) };
    WriteBehindOptions { flush, ..WriteBehindOptions::default() }
}
