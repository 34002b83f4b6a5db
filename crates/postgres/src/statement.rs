//! What a statement is for: the labels that it is counted under.

/// Why a statement is sent to Postgres.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// A read that a cache could answer instead.
    Load,
    /// A write that a client asked for.
    Write,
    /// A batch of journalled writes on its way into the tables.
    Flush,
    /// The change feed reading what was committed.
    Feed,
    /// Housekeeping: readiness, administration.
    Admin,
}

impl Purpose {
    /// The name used in metrics, as the attribute `larder.purpose`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Feed => "feed",
            Self::Admin => "admin",
        }
    }
}

/// One statement of an adapter, declared once beside its SQL.
///
/// ```
/// use larder_postgres::{Purpose, Statement};
///
/// const LOAD: Statement = Statement {
///     namespace: "product-summary",
///     purpose: Purpose::Load,
///     operation: "SELECT",
///     collection: "products",
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Statement {
    /// The cache namespace on whose behalf it runs; empty where there is none.
    pub namespace: &'static str,
    /// Why it is sent.
    pub purpose: Purpose,
    /// The SQL command, upper case (`db.operation.name`).
    pub operation: &'static str,
    /// The main table (`db.collection.name`).
    pub collection: &'static str,
}
