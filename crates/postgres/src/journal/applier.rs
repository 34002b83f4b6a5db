//! What a journal needs of whoever knows the tables.

/// Who applies a journal's entries: it knows the tables, and the SQL functions that change them.
///
/// The four statements call functions that a migration makes on the building blocks of the schema
/// `larder` (`lock_versions`, `bump_locked`, `begin_applying`, `take_off`, `put_off`, `bury`). Their
/// arguments and columns are given beside each. The implementor guarantees:
///
/// * `APPEND` locks the version of every key that it changes, in the order of `lock_versions`, before
///   it looks whether a write breaks a rule, and bumps those of what it takes;
/// * `TAKE` waits for no lock, and returns what is there after it has locked;
/// * `APPLY` changes rows and takes their entries off in one, or neither;
/// * every load overlays the entries of its key.
pub trait Applier: Send + Sync + 'static {
    /// What can be done to a key.
    type Operation: Clone + Send + Sync + 'static;
    /// Why a write is refused at once.
    type Refusal: Send + 'static;

    /// `(keys text[], operations text[])` → a row for each write, in order: `position bigint`,
    /// `refusal text`, `list text`, `sku text`, `namespaces text[]`, `changed text[]`,
    /// `epochs int[]`, `counters bigint[]`; without a position, the write is refused.
    const APPEND: &'static str;
    /// `(entries int)` → a row for each key that nobody else works on: `key text`, `standing text`,
    /// `positions bigint[]`, `operations text[]`, `times bigint[]` (µs since 1970).
    const TAKE: &'static str;
    /// `(changes text[])` → the changes that break a rule of the database: `key text`, `error text`.
    const APPLY: &'static str;
    /// `(positions bigint[], errors text[], attempts int, backoff_seconds float8)` → a row for each
    /// key that becomes newer because an entry became a dead letter: `dead bigint`,
    /// `namespace text`, `key text`, `epoch int`, `counter bigint`.
    const FAIL: &'static str;

    /// The operation as JSON, as it lies in the journal.
    fn write(&self, operation: &Self::Operation) -> String;

    /// What a refusal of `APPEND` means.
    fn refusal(&self, operation: &Self::Operation, why: &Refused) -> Self::Refusal;

    /// Makes one change of the entries `from..upto` of a key. Those before `from` have been applied
    /// since the key was taken, on top of its standing.
    fn coalesce(&self, taken: &Taken, from: usize, upto: usize) -> Coalesced;
}

/// A refusal, as `APPEND` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which rule.
    pub rule: String,
    /// The list of the operation that breaks it …
    pub list: Option<String>,
    /// … and the part in it.
    pub part: Option<String>,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "refused by the rule {:?}", self.rule)?;
        for part in [&self.list, &self.part].into_iter().flatten() {
            write!(f, ", {part}")?;
        }
        Ok(())
    }
}

/// The entries of one key, which the transaction has locked.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The key.
    pub key: String,
    /// What is there now, as the applier's SQL says it; `None`: nothing.
    pub standing: Option<String>,
    /// Its entries, in order.
    pub entries: Vec<Entry>,
}

/// An entry of the journal.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place.
    pub position: i64,
    /// What is to be done, as [`Applier::write`] wrote it.
    pub operation: String,
    /// When it was appended, in µs since 1970.
    pub at_us: i64,
}

/// Several entries of one key as one change.
#[derive(Clone, Debug)]
pub struct Coalesced {
    /// The change, for `APPLY`; meaningless if nothing is in it.
    pub change: String,
    /// How many entries are in it: all before the first that cannot be applied.
    pub entries: usize,
    /// Why the next one cannot.
    pub refused: Option<String>,
}
