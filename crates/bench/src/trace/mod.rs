//! Recorded sequences of reads.

mod cache2k;
mod combined;
mod keyed;
mod recording;
mod retail;
mod source;

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use serde::{Deserialize, Serialize};

pub use recording::{Access, Broken, MAX_BROKEN, Op, Recording};
pub use retail::{Step, fewest_loads, visits};
pub use source::BadData;

/// The formats that are understood; files may be packed by gzip or xz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Big-endian signed 32-bit keys, one a request.
    Cache2k,
    /// CSV with a column `key`, or with one column; also `time` (seconds, or RFC 3339), `op`
    /// (read or write), `cost` (milliseconds) and `bytes` (of the value).
    Csv,
    /// An access log of Apache or nginx. The path of each GET is a key that is read, that of
    /// each POST, PUT, PATCH and DELETE one that is changed.
    Combined,
}

/// A sequence of reads; keys are numbered from 1 in the order in which they first appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The key of each request.
    pub requests: Vec<u32>,
    /// How many keys there are.
    pub distinct: u32,
}

impl Format {
    /// What the name of `file` suggests.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let name = name.trim_end_matches(".xz").trim_end_matches(".gz");
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("trace") => Self::Cache2k,
            Some("csv") => Self::Csv,
            _ => Self::Combined,
        }
    }

    const fn what(self) -> &'static str {
        match self {
            Self::Cache2k => "a trace of cache2k",
            Self::Csv => "CSV",
            Self::Combined => "an access log",
        }
    }
}

impl Trace {
    /// The reads of `file`. A few unreadable lines are left out, which is said on standard error.
    ///
    /// # Errors
    ///
    /// As [`Recording::read`] with [`MAX_BROKEN`].
    pub fn read(file: &Path, format: Format) -> Result<Self> {
        let recording = Recording::read(file, format, MAX_BROKEN)?;
        if let Some(warning) = recording.broken.warning(file) {
            eprintln!("{warning}");
        }
        let reads = recording.accesses.iter().filter(|access| access.op == Op::Read);
        Ok(Self::number(reads.map(|access| access.key)))
    }

    /// Numbers keys in the order in which they first appear.
    pub fn number<K: std::hash::Hash + Eq>(keys: impl IntoIterator<Item = K>) -> Self {
        let mut numbers: HashMap<K, u32> = HashMap::new();
        let requests = keys
            .into_iter()
            .map(|key| {
                let next = u32::try_from(numbers.len()).expect("fewer than 2^32 keys") + 1;
                *numbers.entry(key).or_insert(next)
            })
            .collect();
        Self { requests, distinct: u32::try_from(numbers.len()).expect("fewer than 2^32 keys") }
    }

    /// The first `count` requests; 0: all.
    #[must_use]
    pub fn limited(mut self, count: usize) -> Self {
        if count == 0 {
            return self;
        }
        self.requests.truncate(count);
        Self::number(self.requests)
    }
}

#[cfg(test)]
mod tests;
