//! Parameters of production caches: `twitter-2020.csv`, which names its source and licence.

use anyhow::{Context, Result};
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
}

impl Preset {
    /// That of `cluster`.
    ///
    /// # Errors
    ///
    /// When there is none; the message names all that are there.
    pub fn of(cluster: &str) -> Result<Self> {
        let all = presets();
        let names: Vec<&str> = all.iter().map(|preset| preset.cluster.as_str()).collect();
        let names = names.join(", ");
        let found = all.into_iter().find(|preset| preset.cluster == cluster);
        found.with_context(|| format!("cluster must be one of {names}"))
    }
}

/// All that are part of this program.
///
/// # Panics
///
/// Never: the table is part of the program, and tested.
#[must_use]
pub fn presets() -> Vec<Preset> {
    let mut reader = csv::ReaderBuilder::new().comment(Some(b'#')).from_reader(TWITTER.as_bytes());
    reader.deserialize().collect::<Result<_, csv::Error>>().expect("the built-in table is valid")
}
