//! Recorded sequences of reads.

mod cache2k;
mod combined;
mod keyed;
mod retail;

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};
use liblzma::read::XzDecoder;

pub use retail::{Step, fewest_loads, visits};

/// The formats that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// xz-packed big-endian signed 32-bit keys, one a request.
    Cache2k,
    /// CSV with a column `key`, or with one column.
    Csv,
    /// An access log of Apache or nginx; the path of each GET is its key.
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

impl Trace {
    /// Reads `file`, packed by xz or not.
    ///
    /// # Errors
    ///
    /// When it cannot be read; the message names file and line.
    pub fn read(file: &Path, format: Format) -> Result<Self> {
        let what = || file.display().to_string();
        let source = BufReader::new(File::open(file).with_context(what)?);
        let packed = file.extension().is_some_and(|extension| extension == "xz");
        let text: Box<dyn Read> =
            if packed { Box::new(XzDecoder::new(source)) } else { Box::new(source) };
        let trace = match format {
            Format::Cache2k => Self::number(cache2k::keys(text).with_context(what)?),
            Format::Csv => Self::number(keyed::keys(text).with_context(what)?),
            Format::Combined => Self::number(combined::keys(text).with_context(what)?),
        };
        anyhow::ensure!(!trace.requests.is_empty(), "{} has no requests", what());
        Ok(trace)
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

    /// The first `count` requests.
    #[must_use]
    pub fn limited(mut self, count: usize) -> Self {
        self.requests.truncate(count);
        Self::number(self.requests)
    }
}

#[cfg(test)]
mod tests;
