//! What a client knows of its own writes.

/// Deltas that one wave adds to a counted stock.
pub const WAVE: u32 = 14;
/// What a whole wave adds.
pub const WHOLE: i64 = (BASE.pow(WAVE) - 1) / (BASE - 1);
/// The base of the digits that deltas are.
pub(super) const BASE: i64 = 4;

/// What became of a write, as far as its client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged: by the journal, at this position, or (without one) by the database.
    Acknowledged(Option<u64>),
    /// Refused: nothing of it may ever be there.
    Refused,
    /// The answer was lost, or said that nothing is known: it may be there once, or not.
    Unknown,
}

/// A write that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What it adds, or what it sets.
    pub value: i64,
    /// What became of it.
    pub outcome: Outcome,
}

/// All that was sent for one product. What was sent last is all that can be of unknown outcome:
/// nobody writes a product any more of whose writes one is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The product.
    pub product: u32,
    /// What was added to its counted stock: waves of [`WAVE`] deltas at the same time, each a
    /// different power of four, so that the stock tells how often each of them was applied; and
    /// after a whole wave, all of it off again.
    pub deltas: Vec<Sent>,
    /// To what its other stock was set, one after the other, each more than the last.
    pub stocks: Vec<Sent>,
    /// To what its price was set, one after the other, each more than the last.
    pub prices: Vec<Sent>,
}

/// What there is of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The stock that is counted.
    pub counted: i64,
    /// The stock that is set.
    pub stock: i64,
    /// The price.
    pub price: i64,
}

impl Found {
    /// What there is before anything is sent.
    pub const FIRST: Self = Self { counted: 0, stock: 0, price: 1 };
}

impl Sent {
    /// Whether the client was told that it is safe.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Acknowledged(_))
    }
}

impl Record {
    /// Everything that was sent.
    pub fn sent(&self) -> impl Iterator<Item = &Sent> {
        [&self.deltas, &self.stocks, &self.prices].into_iter().flatten()
    }
}
