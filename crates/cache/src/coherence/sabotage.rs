//! Ways to break a promise on purpose: the verifier must be able to find it broken.

use std::str::FromStr;

/// A promise to break. It is for the verifier's own tests, and in no documentation.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sabotage {
    /// None is broken.
    #[default]
    None,
    /// Changes of every eighth key or so are told to nobody.
    Forgetful,
    /// Messages of other processes about every eighth key or so are not heard.
    Deaf,
}

impl Sabotage {
    /// Whether a change of `key` is kept from everybody.
    pub(crate) fn hides(self, key: &str) -> bool {
        self == Self::Forgetful && is_chosen(key)
    }

    /// Whether what is told of `key` is not heard.
    pub(crate) fn ignores(self, key: &str) -> bool {
        self == Self::Deaf && is_chosen(key)
    }
}

fn is_chosen(key: &str) -> bool {
    key.bytes().map(u32::from).sum::<u32>().is_multiple_of(8)
}

impl FromStr for Sabotage {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "" => Ok(Self::None),
            "forgetful" => Ok(Self::Forgetful),
            "deaf" => Ok(Self::Deaf),
            _ => Err(()),
        }
    }
}
