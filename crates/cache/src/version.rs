//! Versions: what makes it possible to say which of two values is newer.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// How new a value is: the epoch of its namespace, then a counter of its key.
///
/// Both come from Postgres, read in the statement that read the value. A larger
/// version is newer; the epoch decides before the counter, so that one step of
/// the epoch makes everything before it old at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Epoch of the namespace; 0 where the namespace is not tracked.
    pub epoch: u32,
    /// Counter of the key; 0 for a key that was never changed since tracking began.
    pub counter: u64,
}

/// A string that is not a version as [`Version`]'s `Display` writes it.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("not a version (expected <epoch>-<counter>, such as 1-42): {0:?}")]
pub struct ParseVersionError(String);

impl Version {
    /// Characters of the fixed-width form.
    pub const WIDTH: usize = 24;

    /// The version of `counter` within `epoch`.
    #[must_use]
    pub const fn new(epoch: u32, counter: u64) -> Self {
        Self { epoch, counter }
    }

    /// Fixed-width lower-case hexadecimal, in which string order is version order.
    ///
    /// Scripts compare versions as strings, because Lua's numbers are doubles and
    /// lose precision above 2^53.
    #[must_use]
    pub fn to_fixed(self) -> String {
        format!("{:08x}{:016x}", self.epoch, self.counter)
    }

    /// Reads what [`to_fixed`](Self::to_fixed) wrote; `None` for anything else.
    #[must_use]
    pub fn from_fixed(text: &[u8]) -> Option<Self> {
        if text.len() != Self::WIDTH || !text.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        Some(Self {
            epoch: u32::from_str_radix(&text[..8], 16).ok()?,
            counter: u64::from_str_radix(&text[8..], 16).ok()?,
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (epoch, counter) = text.split_once('-')?;
            Some(Self { epoch: epoch.parse().ok()?, counter: counter.parse().ok()? })
        };
        parse().ok_or_else(|| ParseVersionError(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_of_fixed_strings_is_the_order_of_versions(a: (u32, u64), b: (u32, u64)) {
            let (a, b) = (Version::new(a.0, a.1), Version::new(b.0, b.1));
            prop_assert_eq!(a.cmp(&b), a.to_fixed().cmp(&b.to_fixed()));
        }

        #[test]
        fn a_version_survives_both_of_its_spellings(epoch: u32, counter: u64) {
            let version = Version::new(epoch, counter);
            prop_assert_eq!(Version::from_fixed(version.to_fixed().as_bytes()), Some(version));
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }
    }

    #[test]
    fn anything_else_is_no_version() {
        for text in ["", "1", "1-", "-1", "a-b", "1-2-3", "99999999999-1"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
        for text in ["", "00000001000000000000000G", "00000001+00000000000002a"] {
            assert_eq!(Version::from_fixed(text.as_bytes()), None, "{text:?}");
        }
    }
}
