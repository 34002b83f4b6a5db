//! Write-behind: writes that are acknowledged by a journal, and applied in batches.

mod appender;
mod crash;
mod engine;
mod flusher;
mod journal;
mod level;
mod options;
mod overlay;
pub(crate) mod queue;
mod shared;
mod sink;
mod status;
#[cfg(test)]
mod tests;
mod volatile;

pub use self::crash::{CrashAt, CrashPoint};
pub use self::engine::{Tell, WriteBehind, WriteError};
pub use self::journal::{
    DeadLetter, FlushOptions, Flushed, Journal, JournalError, JournalState, Journaled,
    StillRefused, Write, WriteState,
};
pub use self::options::{
    Mode, UnknownMode, UnknownWhenFull, WhenFull, WriteBehindOptions, WriteBehindOptionsError,
};
pub use self::overlay::Overlay;
pub use self::sink::{Base, Deferred, Made, Settled, Sink};
pub use self::status::WriteBehindStatus;
pub use self::volatile::VolatileJournal;
