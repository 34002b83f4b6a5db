//! What is written straight in SQL, behind the service's back.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The product on which a transaction stays open: its own id, shown by no page, so that nobody
/// else's write waits for its locks.
pub(super) const LONELY: u32 = 900_000_001;

/// A product that begins to show [`LONELY`] while that transaction is open (`--late-link`).
pub(super) const LATE: u32 = 900_000_002;

/// New prices of several products, in one statement, after their rows are locked in order.
pub(super) fn prices(prices: &[(u32, i64)]) -> String {
    let ids: Vec<String> = prices.iter().map(|(id, _)| id.to_string()).collect();
    let ids = ids.join(", ");
    let mut rows = String::new();
    for (id, price) in prices {
        let comma = if rows.is_empty() { "" } else { ", " };
        write!(rows, "{comma}({id}, {price})").expect("writing to a String cannot fail");
    }
    format!(
        "SELECT FROM products WHERE id IN ({ids}) ORDER BY id FOR NO KEY UPDATE;
         UPDATE products p SET price_minor = v.price, updated_at = now()
         FROM (VALUES {rows}) AS v (id, price) WHERE p.id = v.id"
    )
}

/// Locks what is written when a product goes or comes, in order: it, and what it shows.
pub(super) fn lock(id: u32) -> String {
    format!(
        "SELECT FROM products WHERE id = {id} OR id IN
         (SELECT related_id FROM verify.base_related WHERE product_id = {id}) ORDER BY id FOR UPDATE"
    )
}

/// A product gone, with all that belongs to it.
pub(super) fn delete(id: u32) -> String {
    format!("DELETE FROM products WHERE id = {id}")
}

/// A product back under its id: with its variants, shown where it was shown before, without
/// reviews, and with another price.
pub(super) fn create(id: u32, price: i64) -> String {
    format!(
        "INSERT INTO products (id, sku, name, description, category_id, price_minor, currency,
                               attributes)
         SELECT id, sku, name, description, category_id, {price}, currency, attributes
         FROM verify.base_products WHERE id = {id};
         INSERT INTO variants SELECT * FROM verify.base_variants WHERE product_id = {id};
         INSERT INTO related_products
         SELECT r.* FROM verify.base_related r
         JOIN products p ON p.id = r.product_id JOIN products q ON q.id = r.related_id
         WHERE r.product_id = {id} OR r.related_id = {id}
         ON CONFLICT DO NOTHING"
    )
}

/// Runs `sql`, all of it in one transaction.
pub(super) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// Makes [`LONELY`] and [`LATE`], which no page shows.
pub(super) async fn add_lonely(admin_url: &str) -> Result<()> {
    let sql = format!(
        "INSERT INTO products (id, sku, name, description, category_id, price_minor, currency)
         SELECT own.id, 'VERIFY-' || own.id, 'Alone', '', c.id, 1000, 'EUR'
         FROM (SELECT min(id) AS id FROM categories) c,
              (VALUES ({LONELY}), ({LATE})) AS own (id)"
    );
    let mut connection = PgConnection::connect(admin_url).await?;
    run(&mut connection, sql).await?;
    connection.close().await?;
    Ok(())
}

/// After `wait`, lets the page of [`LATE`] show [`LONELY`].
pub(super) async fn link_late(admin_url: &str, wait: Duration) -> Result<()> {
    tokio::time::sleep(wait).await;
    let mut connection = PgConnection::connect(admin_url).await?;
    let sql = format!("INSERT INTO related_products VALUES ({LATE}, 1, {LONELY})");
    run(&mut connection, sql).await?;
    connection.close().await?;
    Ok(())
}

/// Changes [`LONELY`], and commits that after `open`; the transaction's id.
pub(super) async fn long_transaction(admin_url: &str, open: Duration) -> Result<i64> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let mut transaction = connection.begin().await?;
    run(&mut transaction, prices(&[(LONELY, 1_001)])).await?;
    let txid = sqlx::query_scalar("SELECT pg_current_xact_id()::text::bigint")
        .fetch_one(&mut *transaction)
        .await?;
    tokio::time::sleep(open).await;
    transaction.commit().await?;
    connection.close().await?;
    Ok(txid)
}

/// Prices of all products, by id.
pub(super) async fn current_prices(admin_url: &str) -> Result<Vec<(u32, i64)>> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let rows: Vec<(i64, i64)> =
        sqlx::query_as("SELECT id, price_minor FROM products").fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.into_iter().map(|(id, price)| Ok((u32::try_from(id)?, price))).collect()
}
