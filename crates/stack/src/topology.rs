//! The shapes a Redis Cluster can be started in.

use std::fmt;
use std::str::FromStr;

use crate::error::StackError;

/// How many slots a Redis Cluster has.
pub(crate) const SLOTS: u16 = 16_384;

/// How many primaries, and replicas of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Topology {
    /// `3x1`: three primaries with a replica each; fails over by itself.
    #[default]
    ThreeByOne,
    /// `3x0`: three primaries, no replicas; a lost primary loses its slots.
    ThreeByZero,
    /// `1x2`: one primary with all slots and two replicas; does not fail over by itself,
    /// because replicas are elected by a majority of primaries.
    OneByTwo,
    /// `standalone`: one primary with all slots and nothing beside it; what it held is lost with it.
    Standalone,
}

impl Topology {
    /// All of them, the default first.
    pub const ALL: [Self; 4] =
        [Self::ThreeByOne, Self::ThreeByZero, Self::OneByTwo, Self::Standalone];

    /// How many primaries.
    #[must_use]
    pub const fn primaries(self) -> usize {
        match self {
            Self::ThreeByOne | Self::ThreeByZero => 3,
            Self::OneByTwo | Self::Standalone => 1,
        }
    }

    /// How many replicas each primary has.
    #[must_use]
    pub const fn replicas(self) -> usize {
        match self {
            Self::ThreeByOne => 1,
            Self::ThreeByZero | Self::Standalone => 0,
            Self::OneByTwo => 2,
        }
    }

    /// How many nodes in all: the primaries come first.
    #[must_use]
    pub const fn nodes(self) -> usize {
        self.primaries() * (1 + self.replicas())
    }

    /// The slots of a primary, both ends included.
    pub(crate) fn slots(self, primary: usize) -> (u16, u16) {
        let count = u32::try_from(self.primaries()).expect("at most three");
        let index = u32::try_from(primary).expect("at most three");
        let edge = |n: u32| u16::try_from(u32::from(SLOTS) * n / count).expect("at most 16384");
        (edge(index), edge(index + 1) - 1)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standalone => f.write_str("standalone"),
            _ => write!(f, "{}x{}", self.primaries(), self.replicas()),
        }
    }
}

impl FromStr for Topology {
    type Err = StackError;

    fn from_str(name: &str) -> Result<Self, StackError> {
        Self::ALL
            .into_iter()
            .find(|topology| topology.to_string() == name)
            .ok_or_else(|| StackError::Topology(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_one_primary() {
        for topology in Topology::ALL {
            let mut next = 0;
            for primary in 0..topology.primaries() {
                let (first, last) = topology.slots(primary);
                assert_eq!(first, next);
                next = last + 1;
            }
            assert_eq!(next, SLOTS, "{topology}");
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for topology in Topology::ALL {
            assert_eq!(topology.to_string().parse::<Topology>().ok(), Some(topology));
        }
        let refused = "2x1".parse::<Topology>().expect_err("is no topology");
        assert_eq!(
            refused.to_string(),
            "TOPOLOGY must be standalone, 1x2, 3x0 or 3x1, not \"2x1\""
        );
    }
}
