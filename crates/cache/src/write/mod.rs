//! Write-behind: writes that are acknowledged by a journal, and applied in batches.

mod journal;

pub use self::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled, Write,
    WriteState,
};
