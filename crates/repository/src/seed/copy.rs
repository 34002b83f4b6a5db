//! COPY into an empty catalogue, in one transaction.

use std::fmt::Write;

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::{Progress, SeedError};

/// Bytes gathered before they are sent.
const CHUNK: usize = 256 * 1024;

/// Fills table after table; nothing is there before [`finish`](Self::finish).
pub(super) struct Copier<P> {
    connection: PgConnection,
    progress: P,
    rows: u64,
    total: u64,
}

/// One row in COPY's text format.
#[derive(Debug, Default)]
pub(super) struct Line(String);

impl Line {
    /// Adds a column. Tabs, line breaks and backslashes are escaped.
    pub(super) fn with(mut self, value: impl std::fmt::Display) -> Self {
        self.separate();
        let mut text = String::new();
        write!(text, "{value}").expect("writing to a String cannot fail");
        for character in text.chars() {
            match character {
                '\\' => self.0.push_str("\\\\"),
                '\t' => self.0.push_str("\\t"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// Adds a column without a value.
    pub(super) fn null(mut self) -> Self {
        self.separate();
        self.0.push_str("\\N");
        self
    }

    fn separate(&mut self) {
        if !self.0.is_empty() {
            self.0.push('\t');
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<P: FnMut(Progress) + Send> Copier<P> {
    /// Begins, if there is no product yet; nobody else can add one meanwhile.
    pub(super) async fn begin(url: &str, total: u64, progress: P) -> Result<Self, SeedError> {
        let mut connection = PgConnection::connect(url).await?;
        sqlx::raw_sql("BEGIN; LOCK products IN EXCLUSIVE MODE").execute(&mut connection).await?;
        let empty: bool = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM products)")
            .fetch_one(&mut connection)
            .await?;
        if !empty {
            return Err(SeedError::NotEmpty);
        }
        // Categories alone, left by hand, would only be in the way.
        sqlx::query("DELETE FROM categories").execute(&mut connection).await?;
        Ok(Self { connection, progress, rows: 0, total })
    }

    /// Copies `lines` into `columns` of `table`.
    pub(super) async fn table(
        &mut self,
        table: &'static str,
        columns: &str,
        lines: impl Iterator<Item = Line> + Send,
    ) -> Result<(), SeedError> {
        let statement = format!("COPY {table} ({columns}) FROM STDIN");
        let mut copy = self.connection.copy_in_raw(&statement).await?;
        let mut chunk = String::with_capacity(CHUNK + 4_096);
        for line in lines {
            chunk.push_str(line.as_str());
            chunk.push('\n');
            self.rows += 1;
            if chunk.len() >= CHUNK {
                copy.send(chunk.as_bytes()).await?;
                chunk.clear();
                (self.progress)(Progress { table, rows: self.rows, total: self.total });
            }
        }
        copy.send(chunk.as_bytes()).await?;
        copy.finish().await?;
        (self.progress)(Progress { table, rows: self.rows, total: self.total });
        Ok(())
    }

    /// Makes it permanent, lets new rows count on from the copied ids, and gathers statistics.
    pub(super) async fn finish(mut self) -> Result<(), SeedError> {
        let sequences = "
            SELECT setval(pg_get_serial_sequence('categories', 'id'), max(id)) FROM categories;
            SELECT setval(pg_get_serial_sequence('products', 'id'), max(id)) FROM products;
            COMMIT";
        sqlx::raw_sql(sequences).execute(&mut self.connection).await?;
        // One by one: VACUUM runs in no transaction, and several statements at once are one.
        for table in
            ["categories", "products", "variants", "reviews", "related_products", "larder.versions"]
        {
            let vacuum = AssertSqlSafe(format!("VACUUM (ANALYZE) {table}"));
            sqlx::raw_sql(vacuum).execute(&mut self.connection).await?;
        }
        self.connection.close().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_what_copy_would_take_for_its_own() {
        let line = Line::default().with(7).with("a\tb\\c\nd").null();
        assert_eq!(line.as_str(), "7\ta\\tb\\\\c\\nd\t\\N");
    }
}
