//! Which strategy the verdict is about: chosen before anything is measured.

use serde::{Deserialize, Serialize};

use super::{Cell, Verdict};
use crate::scenario::Contender;

/// The strategy that the verdict is about. It is chosen before anything is measured, so that no verdict is
/// about what happened to be best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headline {
    /// The strategy.
    pub strategy: String,
    /// The tiers.
    pub tiers: String,
    /// Life of an entry in milliseconds; 0: unbounded.
    pub ttl_ms: u64,
    /// How many milliseconds L1 serves an entry without asking L2.
    pub l1_ttl_ms: u64,
    /// Whether the scenario names it. Else it is the first after the one to beat that hears of writes, or,
    /// where none does, the first.
    pub named: bool,
}

impl Headline {
    /// That of a scenario with these strategies, the first of which is the one to beat; none where there is no
    /// other.
    #[must_use]
    pub fn of(strategies: &[Contender]) -> Option<Self> {
        let others = strategies.get(1..)?;
        let named = others.iter().find(|one| one.headline);
        let by_rule = || first(others, |one| &one.strategy);
        named.or_else(by_rule).map(|one| Self {
            strategy: one.strategy.clone(),
            tiers: one.tiers.clone(),
            ttl_ms: one.ttl_ms,
            l1_ttl_ms: one.l1_ttl_ms,
            named: named.is_some(),
        })
    }

    /// That of results which do not tell it: by the rule.
    pub(super) fn of_verdicts(verdicts: &[Verdict]) -> Option<Self> {
        let verdict = first(verdicts, |verdict| &verdict.cell.strategy)?;
        let Cell { strategy, tiers, ttl_ms, l1_ttl_ms, .. } = verdict.cell.clone();
        Some(Self { strategy, tiers, ttl_ms, l1_ttl_ms, named: false })
    }

    /// Whether `cell` is one of its cells.
    #[must_use]
    pub fn is_of(&self, cell: &Cell) -> bool {
        (&self.strategy, &self.tiers) == (&cell.strategy, &cell.tiers)
            && (self.ttl_ms, self.l1_ttl_ms) == (cell.ttl_ms, cell.l1_ttl_ms)
    }

    /// How it was chosen, for people.
    #[must_use]
    pub const fn chosen(&self) -> &'static str {
        if self.named {
            "named in the scenario as the one that the verdict is about"
        } else {
            "the scenario names none for the verdict: it is about the first one after the baseline that \
             hears of writes"
        }
    }
}

/// The first of `all` that hears of writes, or the first.
fn first<T>(all: &[T], strategy: impl Fn(&T) -> &str) -> Option<&T> {
    all.iter().find(|one| !["none", "ttl"].contains(&strategy(one))).or(all.first())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_about_the_one_that_is_named_or_the_first_that_hears_of_writes() {
        let ttl = Contender::new("ttl", "l2");
        let through = Contender::new("read-through", "l1+l2");
        let aside = Contender::cache_aside();
        let chosen = |strategies: &[Contender]| {
            Headline::of(strategies).map(|one| (one.strategy, one.named))
        };
        let all = [Contender::none(), ttl, aside, through];
        assert_eq!(chosen(&all), Some(("cache-aside".to_owned(), false)));
        let mut named = all.clone();
        named[3].headline = true;
        assert_eq!(chosen(&named), Some(("read-through".to_owned(), true)));
        assert_eq!(chosen(&all[..2]), Some(("ttl".to_owned(), false)));
        assert_eq!((chosen(&all[..1]), chosen(&[])), (None, None));
    }
}
