//! What a scenario file says of a workload.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};

use super::{Choice, Mix, Preset, Ycsb};
use crate::trace::Format;

/// A workload; in TOML a table with `kind` and the fields of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spec {
    /// All products are equally popular.
    Uniform {
        /// The part of the operations that are updates.
        #[serde(default)]
        updates: f64,
    },
    /// Popularity falls with a power of the rank.
    Zipf {
        /// The power, from 0 (uniform) to 5.
        exponent: f64,
        /// The part of the operations that are updates.
        #[serde(default)]
        updates: f64,
    },
    /// One product that nobody had asked for is what many ask for, and later another.
    HotKeyStorm {
        /// The power of the law that all other operations follow.
        exponent: f64,
        /// The part of the operations that goes to the hot product.
        share: f64,
        /// Operations until another product is hot.
        every: u64,
        /// The part of the operations that are updates.
        #[serde(default)]
        updates: f64,
    },
    /// Every product is read, one after the other, and again: a crawler.
    Scan {},
    /// A core workload of YCSB.
    Ycsb {
        /// Which.
        workload: Ycsb,
    },
    /// Operations as in a production cluster whose parameters are published: `workload::presets`.
    Twitter {
        /// Which, such as `cluster52`.
        cluster: String,
    },
    /// A recorded sequence, in its order.
    Trace {
        /// The file: beside the scenario, or in the folder of recorded inputs.
        file: PathBuf,
        /// What it is; none: what its name suggests.
        #[serde(default)]
        format: Option<Format>,
        /// When each step is due.
        pace: Pace,
        /// Only its first steps; 0: all.
        #[serde(default)]
        limit: usize,
    },
}

/// When the steps of a recorded sequence are due.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// As soon as a connection is free: a closed loop. With one connection the order is exact.
    InOrder,
    /// When it was recorded.
    Recorded,
    /// So many times as fast as it was recorded.
    Scale(f64),
    /// Evenly, so many a second, whatever was recorded.
    Rate(f64),
}

impl Pace {
    /// For people.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::InOrder => "in order".to_owned(),
            Self::Recorded => "as recorded".to_owned(),
            Self::Scale(scale) => format!("{scale} times as fast as recorded"),
            Self::Rate(rate) => format!("{rate}/s"),
        }
    }

    /// Whether it cannot be without recorded times.
    #[must_use]
    pub const fn needs_times(self) -> bool {
        matches!(self, Self::Recorded | Self::Scale(_))
    }
}

impl Spec {
    /// Exponent, choice and mix.
    pub(super) fn plan(&self) -> Result<(f64, Choice, Mix)> {
        Ok(match self {
            Self::Uniform { updates } => (0.0, Choice::Popular, Mix::updating(*updates)?),
            Self::Zipf { exponent, updates } => {
                (power(*exponent)?, Choice::Popular, Mix::updating(*updates)?)
            }
            Self::HotKeyStorm { exponent, share, every, updates } => {
                part("share", *share)?;
                ensure!(*every > 0, "every must be at least 1");
                let choice = Choice::Storm { share: *share, every: *every };
                (power(*exponent)?, choice, Mix::updating(*updates)?)
            }
            Self::Scan {} => (0.0, Choice::InTurn(0), Mix::updating(0.0)?),
            Self::Ycsb { workload } => workload.plan(),
            Self::Twitter { cluster } => {
                let preset = Preset::of(cluster)?;
                (preset.zipf_exponent, Choice::Popular, Mix::updating(preset.updates)?)
            }
            Self::Trace { .. } => bail!("a trace is no endless workload: it is for a matrix"),
        })
    }
}

impl Mix {
    fn updating(updates: f64) -> Result<Self> {
        part("updates", updates)?;
        Ok(Self { update: updates, insert: 0.0, scan: 0.0, read_modify_write: 0.0 })
    }
}

fn power(exponent: f64) -> Result<f64> {
    ensure!((0.0..=5.0).contains(&exponent), "exponent must be from 0 to 5");
    Ok(exponent)
}

fn part(name: &str, value: f64) -> Result<()> {
    ensure!((0.0..=1.0).contains(&value), "{name} must be from 0 to 1");
    Ok(())
}
