//! Crashes on purpose: what was acknowledged must survive them.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long after its beginning something is under way.
const UNDER_WAY: Duration = Duration::from_millis(1);

/// A place in the engine, or in a journal: for tests, which docs/chaos.md tells of.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// Writes are there, and nothing is journaled.
    BeforeAppend,
    /// The append is under way: whether anything will be journaled is open.
    AmidAppend,
    /// They are journaled, and nobody has been told.
    BeforeAcknowledgement,
    /// Entries are due, and nothing is applied.
    BeforeFlush,
    /// They are applied, and that is not committed. Of journals with transactions.
    BeforeFlushCommit,
    /// They are applied, and nothing has been made of it here.
    AfterFlush,
}

/// At which passing of which place the process aborts, as `kill -9` would: `before-flush:3`.
#[doc(hidden)]
#[derive(Clone, Debug, Default)]
pub struct CrashAt(Option<(CrashPoint, Arc<AtomicU64>)>);

impl CrashPoint {
    /// All places.
    pub const ALL: [Self; 6] = [
        Self::BeforeAppend,
        Self::AmidAppend,
        Self::BeforeAcknowledgement,
        Self::BeforeFlush,
        Self::BeforeFlushCommit,
        Self::AfterFlush,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAppend => "before-append",
            Self::AmidAppend => "amid-append",
            Self::BeforeAcknowledgement => "before-acknowledgement",
            Self::BeforeFlush => "before-flush",
            Self::BeforeFlushCommit => "before-flush-commit",
            Self::AfterFlush => "after-flush",
        }
    }
}

impl CrashAt {
    /// Nowhere.
    pub const NEVER: Self = Self(None);

    /// Aborts the process if this is the place and the time.
    pub fn pass(&self, here: CrashPoint) {
        if self.is_due(here) {
            std::process::abort();
        }
    }

    /// The same a moment later, when what begins now is under way.
    pub(super) fn pass_into(&self, here: CrashPoint) {
        if self.is_due(here) {
            std::thread::spawn(|| {
                std::thread::sleep(UNDER_WAY);
                std::process::abort();
            });
        }
    }

    fn is_due(&self, here: CrashPoint) -> bool {
        let Some((point, left)) = &self.0 else { return false };
        *point == here && left.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

impl PartialEq for CrashAt {
    fn eq(&self, other: &Self) -> bool {
        let place = |at: &Self| at.0.as_ref().map(|(point, _)| *point);
        place(self) == place(other)
    }
}

impl Eq for CrashAt {}

impl FromStr for CrashAt {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let (name, passing) = text.split_once(':').unwrap_or((text, "1"));
        let point = CrashPoint::ALL.into_iter().find(|point| point.as_str() == name).ok_or(())?;
        let passing: u64 = passing.parse().map_err(|_| ())?;
        if passing == 0 {
            return Err(());
        }
        Ok(Self(Some((point, Arc::new(AtomicU64::new(passing))))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_named_with_the_passing_at_which_it_ends() {
        for point in CrashPoint::ALL {
            let at: CrashAt = format!("{}:2", point.as_str()).parse().expect("a place");
            // Another place, and the first passing of this one.
            for other in CrashPoint::ALL.into_iter().filter(|other| *other != point) {
                at.pass(other);
            }
            at.pass(point);
        }
        assert_eq!("".parse(), Ok(CrashAt::default()));
        for wrong in ["somewhere", "before-flush:", "before-flush:0", "before-flush:x"] {
            assert_eq!(wrong.parse::<CrashAt>(), Err(()), "{wrong}");
        }
    }
}
