//! Revisions: how new a view is, and what a write made newer.

use std::fmt;
use std::time::Duration;

use crate::values::ProductId;

/// The views of a product that are read, and cached, on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The full page.
    ProductPage,
    /// The summary.
    ProductSummary,
}

/// How new a view is: the epoch of its kind, then a counter of its product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Moves when everything of this kind must count as old.
    pub epoch: u32,
    /// Moves when this product's view changes.
    pub counter: u64,
}

/// A value with its revision, both read in one snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revised<T> {
    /// How new it is.
    pub revision: Revision,
    /// The value.
    pub value: T,
}

impl<T> Revised<Option<T>> {
    /// The value, if there is one, with its revision.
    #[must_use]
    pub fn transpose(self) -> Option<Revised<T>> {
        let Self { revision, value } = self;
        value.map(|value| Revised { revision, value })
    }
}

/// A view that a write has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which view …
    pub view: View,
    /// … of which product: not only of the one written to, but of every one that shows it.
    pub id: ProductId,
    /// The revision that readers will see.
    pub revision: Revision,
}

/// The newest revision of a view, and since when it is that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Newest {
    /// The revision.
    pub revision: Revision,
    /// How long ago its counter moved last, by the store's own clock …
    pub changed: Duration,
    /// … and its epoch.
    pub epoch_changed: Duration,
}

/// What a committed write led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// What the write returns, such as a new id.
    pub value: T,
    /// The new revision of the written product's page.
    pub revision: Revision,
    /// All views it changed.
    pub changes: Vec<Change>,
}

impl Newest {
    /// How long at least a view of the revision `seen` has been old; `None`: it is not.
    ///
    /// At least: of several changes only the last one's time is known.
    #[must_use]
    pub fn older_for(&self, seen: Revision) -> Option<Duration> {
        let since =
            if seen.epoch < self.revision.epoch { self.epoch_changed } else { self.changed };
        (seen < self.revision).then_some(since)
    }
}

impl<T> Written<T> {
    /// The changes of the product `id` itself, in the order of [`View::ALL`].
    pub fn own(&self, id: ProductId) -> impl Iterator<Item = &Change> {
        let of = move |view| self.changes.iter().find(move |c| c.view == view && c.id == id);
        View::ALL.into_iter().filter_map(of)
    }
}

impl View {
    /// All views.
    pub const ALL: [Self; 2] = [Self::ProductPage, Self::ProductSummary];

    /// The namespace under which it is tracked and cached.
    #[must_use]
    pub const fn namespace(self) -> &'static str {
        match self {
            Self::ProductPage => "product-page",
            Self::ProductSummary => "product-summary",
        }
    }

    /// The view of a namespace; `None` for one that is of no product.
    #[must_use]
    pub fn of_namespace(namespace: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|view| view.namespace() == namespace)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_is_so_since_its_epoch_or_its_counter_moved() {
        let [counter, epoch] = [1, 2].map(Duration::from_secs);
        let revision = |epoch, counter| Revision { epoch, counter };
        let newest = Newest { revision: revision(3, 7), changed: counter, epoch_changed: epoch };
        assert_eq!(newest.older_for(revision(3, 6)), Some(counter));
        assert_eq!(newest.older_for(revision(2, 9)), Some(epoch));
        assert_eq!(newest.older_for(revision(3, 7)), None);
        assert_eq!(newest.older_for(revision(4, 0)), None);
    }
}
