//! What a key allows.

use std::fmt;
use std::str::FromStr;

/// What a key allows; each implies those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    /// Looking at what an operator sees.
    Read,
    /// Changing the catalogue.
    Write,
    /// Everything.
    Admin,
}

impl Scope {
    pub(crate) const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// The widest of those by name; `None`: there is none, or one is unknown.
    pub(super) fn widest(names: &[String]) -> Option<Self> {
        let scopes: Result<Vec<Self>, _> = names.iter().map(|name| name.parse()).collect();
        scopes.ok()?.into_iter().max()
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == name);
        found.ok_or_else(|| format!("unknown scope {name:?}: use read, write or admin"))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
