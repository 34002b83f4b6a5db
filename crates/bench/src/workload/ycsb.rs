//! The core workloads of YCSB.
//!
//! B. F. Cooper, A. Silberstein, E. Tam, R. Ramakrishnan, R. Sears, *Benchmarking Cloud Serving
//! Systems with YCSB*, SoCC 2010.

use serde::{Deserialize, Serialize};

use super::{Choice, Mix};

/// YCSB's constant.
pub const EXPONENT: f64 = 0.99;
/// Scans are evenly from 1 to so many products long.
pub(super) const LONGEST_SCAN: u32 = 100;

/// Which of the six.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ycsb {
    /// Half reads, half updates.
    A,
    /// 95 % reads, 5 % updates.
    B,
    /// Reads only.
    C,
    /// 95 % reads, most of them of what is newest, 5 % inserts.
    D,
    /// 95 % scans, 5 % inserts.
    E,
    /// Half reads, half changes of what was just read.
    F,
}

impl Ycsb {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    pub(super) const fn plan(self) -> (f64, Choice, Mix) {
        let reads = Mix { update: 0.0, insert: 0.0, scan: 0.0, read_modify_write: 0.0 };
        let mix = match self {
            Self::A => Mix { update: 0.5, ..reads },
            Self::B => Mix { update: 0.05, ..reads },
            Self::C => reads,
            Self::D => Mix { insert: 0.05, ..reads },
            Self::E => Mix { insert: 0.05, scan: 0.95, ..reads },
            Self::F => Mix { read_modify_write: 0.5, ..reads },
        };
        let choice = if matches!(self, Self::D) { Choice::Latest } else { Choice::Popular };
        (EXPONENT, choice, mix)
    }
}
