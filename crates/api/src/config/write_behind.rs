//! `[write_behind]`

use std::time::Duration;

use larder::{
    CrashAt, FlushOptions, Mode, UnknownMode, UnknownWhenFull, WriteBehindOptions,
    WriteBehindOptionsError,
};
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `[write_behind]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct WriteBehindConfig {
    /// What an acknowledged write rests on: `journaled` or `volatile`.
    pub mode: String,
    /// Writes that wait in the journal at most.
    pub max_depth: u64,
    /// What becomes of a write beyond it: `refuse` or `synchronous`.
    pub when_full: String,
    /// Writes that wait in this process for the next append, at most.
    pub queue: usize,
    /// Writes that one append takes, at most.
    pub append_entries: usize,
    /// How old a write becomes before a flush begins.
    pub flush_after_ms: u64,
    /// As soon as so many wait, a flush begins, too; it takes so many at most.
    pub flush_entries: usize,
    /// Attempts after which a write that cannot be applied is a dead letter.
    pub attempts: u32,
    /// How long it waits for its second attempt; twice as long after each.
    pub backoff_ms: u64,
    /// For tests: where to crash.
    #[serde(skip)]
    pub crash: CrashAt,
}

impl Default for WriteBehindConfig {
    fn default() -> Self {
        let options = WriteBehindOptions::default();
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self {
            mode: Mode::Journaled.as_str().to_owned(),
            max_depth: options.max_depth,
            when_full: options.when_full.as_str().to_owned(),
            queue: options.queue,
            append_entries: options.append_entries,
            flush_after_ms: millis(options.flush_after),
            flush_entries: options.flush.entries,
            attempts: options.flush.attempts,
            backoff_ms: millis(options.flush.backoff),
            crash: options.crash,
        }
    }
}

impl WriteBehindConfig {
    /// What an acknowledged write rests on.
    ///
    /// # Errors
    ///
    /// Names the modes that there are.
    pub fn mode(&self) -> Result<Mode, ConfigError> {
        let unknown =
            |error: UnknownMode| ConfigError::value("write_behind.mode", error.to_string());
        self.mode.parse().map_err(unknown)
    }

    /// How write-behind goes about it.
    ///
    /// # Errors
    ///
    /// Names the key whose value cannot work.
    pub fn options(&self) -> Result<WriteBehindOptions, ConfigError> {
        let unknown = |error: UnknownWhenFull| {
            ConfigError::value("write_behind.when_full", error.to_string())
        };
        let options = WriteBehindOptions {
            max_depth: self.max_depth,
            when_full: self.when_full.parse().map_err(unknown)?,
            queue: self.queue,
            append_entries: self.append_entries,
            flush_after: Duration::from_millis(self.flush_after_ms),
            flush: FlushOptions {
                entries: self.flush_entries,
                attempts: self.attempts,
                backoff: Duration::from_millis(self.backoff_ms),
            },
            crash: self.crash.clone(),
        };
        options.validate().map_err(|WriteBehindOptionsError { option, reason }| {
            let unit = if option == "flush_after" { "_ms" } else { "" };
            ConfigError::value(format!("write_behind.{option}{unit}"), reason)
        })?;
        Ok(options)
    }
}
