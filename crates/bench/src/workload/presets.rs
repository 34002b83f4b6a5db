//! Parameters of production caches: `twitter-2020.csv`, which names its source and licence.

use serde::Deserialize;

const TWITTER: &str = include_str!("twitter-2020.csv");

/// What is published of one cluster.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Preset {
    /// Its name there.
    pub cluster: String,
    /// The part of its operations that are reads.
    pub reads: f64,
    /// The part that changes something.
    pub updates: f64,
    /// The power of its law of popularity.
    pub zipf_exponent: f64,
    /// Its commonest time to live, in seconds.
    pub ttl_s: u64,
    /// Mean bytes of a value.
    pub value_bytes: u32,
    /// The part of its reads that missed, as it was measured there.
    pub miss_ratio: f64,
}

/// All that are part of this program.
///
/// # Panics
///
/// Never: the table is part of the program, and tested.
#[must_use]
pub fn presets() -> Vec<Preset> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TWITTER.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().expect("the built-in table is valid")
}
