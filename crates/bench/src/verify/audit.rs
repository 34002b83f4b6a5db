//! The committed steps, from Postgres itself.

use std::collections::HashMap;

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::history::{BEFORE, History, Register, Step, Subject, Write, Writer};
use crate::scenario::ReadView;

const INSTALL: &str = include_str!("audit.sql");
const VIEWS: [ReadView; 2] = [ReadView::ProductPage, ReadView::ProductSummary];

/// Who wrote what, and when it was committed. The transactions of one writer are his; a
/// transaction has one.
const WRITES: &str = "
    SELECT t.txid::text::bigint AS txid, t.writer,
           (extract(epoch FROM pg_xact_commit_timestamp(t.txid::xid)) * 1000000)::bigint AS committed
    FROM (SELECT txid, writer FROM verify.version_steps
          UNION SELECT txid, writer FROM verify.epoch_steps
          UNION SELECT txid, writer FROM verify.product_steps) t";

/// The last step of each transaction: nobody else can see those before it. Versions only grow;
/// a product's steps are numbered under its row's lock, so in the order of their commits.
const VERSIONS: &str = "
    SELECT namespace, key, max(version) AS value, txid::text::bigint AS txid, false AS deletion
    FROM verify.version_steps GROUP BY namespace, key, txid ORDER BY namespace, key, value";
const EPOCHS: &str = "
    SELECT namespace, '0' AS key, max(epoch)::bigint AS value, txid::text::bigint AS txid,
           false AS deletion
    FROM verify.epoch_steps GROUP BY namespace, txid ORDER BY namespace, value";
const PRODUCTS: &str = "
    SELECT '' AS namespace, id::text AS key, coalesce(last.price_minor, -1) AS value,
           t.txid, t.deletion
    FROM (SELECT id, txid::text::bigint AS txid, max(seq) AS seq,
                 bool_or(price_minor IS NULL) AS deletion
          FROM verify.product_steps GROUP BY id, txid) t
    JOIN verify.product_steps last USING (id, seq) ORDER BY id, seq";

/// What there was when the record began.
const FIRST: [&str; 3] = [
    "SELECT s.namespace, p.id::text AS key, coalesce(v.version, 0) AS value
     FROM products p CROSS JOIN (VALUES ('product-page'), ('product-summary')) s (namespace)
     LEFT JOIN larder.versions v ON v.namespace = s.namespace AND v.key = p.id::text",
    "SELECT namespace, '0' AS key, epoch::bigint AS value FROM larder.epochs",
    "SELECT '' AS namespace, id::text AS key, price_minor AS value FROM products",
];

/// The record of a run's steps.
#[derive(Debug)]
pub(super) struct Audit {
    admin_url: String,
    first: HashMap<Subject, Vec<Step>>,
}

/// Makes the record's tables and triggers. The catalogue is as it is to be.
pub(super) async fn install(admin_url: &str) -> Result<()> {
    let mut connection = PgConnection::connect(admin_url).await?;
    sqlx::raw_sql(INSTALL).execute(&mut connection).await.context("the record of all steps")?;
    // What deletes and re-creates must not first be slow for want of statistics.
    sqlx::raw_sql("ANALYZE").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

impl Audit {
    /// Begins anew. The caller guarantees that nobody writes meanwhile.
    pub(super) async fn begin(admin_url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(admin_url).await?;
        sqlx::raw_sql("TRUNCATE verify.version_steps, verify.epoch_steps, verify.product_steps")
            .execute(&mut connection)
            .await?;
        let mut first = HashMap::new();
        for sql in FIRST {
            for row in sqlx::query(sql).fetch_all(&mut connection).await? {
                let (namespace, key) = (row.try_get("namespace")?, row.try_get("key")?);
                let Some(subject) = subject(namespace, key) else { continue };
                let value = row.try_get("value")?;
                let step = Step { value, committed: BEFORE, write: None, deletion: false };
                first.insert(subject, vec![step]);
            }
        }
        connection.close().await?;
        Ok(Self { admin_url: admin_url.to_owned(), first })
    }

    /// Everything that was committed since, in a history without reads. `processes` gives each
    /// API process's number by the database role under which it writes.
    pub(super) async fn end(self, processes: &HashMap<String, u8>) -> Result<History> {
        let mut connection = PgConnection::connect(&self.admin_url).await?;
        let mut writes = Vec::new();
        let mut number_of: HashMap<i64, u32> = HashMap::new();
        for row in sqlx::query(WRITES).fetch_all(&mut connection).await? {
            let writer: &str = row.try_get("writer")?;
            let writer = processes.get(writer).map_or(Writer::Sql, |n| Writer::Process(*n));
            let txid = row.try_get("txid")?;
            let committed: Option<i64> = row.try_get("committed")?;
            let committed = committed.context("Postgres keeps no commit timestamps")?;
            number_of.insert(txid, u32::try_from(writes.len()).context("too many writes")?);
            writes.push(Write { txid, committed, writer });
        }
        let mut steps = self.first;
        for sql in [VERSIONS, EPOCHS, PRODUCTS] {
            for row in sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut connection).await? {
                let (namespace, key) = (row.try_get("namespace")?, row.try_get("key")?);
                let Some(subject) = subject(namespace, key) else { continue };
                let txid: i64 = row.try_get("txid")?;
                let write = number_of.get(&txid).copied().context("a step of no write")?;
                let committed = writes[write as usize].committed;
                let (value, deletion) = (row.try_get("value")?, row.try_get("deletion")?);
                let known = steps.entry(subject).or_default();
                // A row that was written, but not changed in what is recorded.
                let same = known.last().is_some_and(|last| last.value == value);
                if !same || deletion {
                    known.push(Step { value, committed, write: Some(write), deletion });
                }
            }
        }
        connection.close().await?;
        let registers = steps.into_iter().map(|(subject, steps)| (subject, Register::new(steps)));
        Ok(History { registers: registers.collect(), writes, ..History::default() })
    }
}

/// `None` for namespaces and keys that no reader asks for.
fn subject(namespace: &str, key: &str) -> Option<Subject> {
    let id: u32 = key.parse().ok()?;
    if namespace.is_empty() {
        return Some(Subject::Product(id));
    }
    let view = VIEWS.into_iter().find(|view| view.namespace() == namespace)?;
    Some(if id == 0 { Subject::Epoch(view) } else { Subject::Version(view, id) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::history::ABSENT;

    #[test]
    fn a_step_is_of_a_key_an_epoch_or_a_product() {
        let page = ReadView::ProductPage;
        assert_eq!(subject("product-page", "7"), Some(Subject::Version(page, 7)));
        assert_eq!(subject("product-page", "0"), Some(Subject::Epoch(page)));
        assert_eq!(subject("", "7"), Some(Subject::Product(7)));
        assert_eq!(subject("baskets", "7"), None);
        assert_eq!(subject("product-page", "x"), None);
        assert_eq!(ABSENT, -1, "as in the query for products");
    }
}
