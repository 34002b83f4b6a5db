//! What the benchmark asks of Postgres as its administrator.

use anyhow::{Context, Result};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::measure::Dependents;

/// What the stock-keeping units of products begin with that a load makes.
pub const MADE: &str = "NEW-";

/// Runs SQL of this module's own making.
pub(super) async fn run(url: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Drops every database and role whose name begins with `prefix`.
pub(super) async fn drop_all(url: &str, prefix: &str) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    let listed = "SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
                  WHERE starts_with(datname, $1)
                  UNION ALL
                  SELECT format('DROP ROLE %I', rolname) FROM pg_roles
                  WHERE starts_with(rolname, $1)";
    let drops: Vec<String> =
        sqlx::query_scalar(listed).bind(prefix).fetch_all(&mut connection).await?;
    for sql in drops {
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    }
    connection.close().await?;
    Ok(())
}

/// The process id of the server's first process.
pub(super) async fn first_process(url: &str) -> Result<i32> {
    let mut connection = PgConnection::connect(url).await?;
    let pid: i32 =
        sqlx::query_scalar("SELECT split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int")
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok(pid)
}

/// The slug of the category that holds the most products itself.
///
/// # Errors
///
/// When Postgres does not answer, or there is no product.
pub async fn largest_category(admin_url: &str) -> Result<String> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let slug = sqlx::query_scalar(
        "SELECT c.slug FROM categories c JOIN products p ON p.category_id = c.id
         GROUP BY c.slug ORDER BY count(*) DESC, c.slug LIMIT 1",
    )
    .fetch_optional(&mut connection)
    .await?;
    connection.close().await?;
    slug.context("the catalogue has no products")
}

/// Which pages a change of a product's price changes beside its own: those that show it as
/// related.
///
/// # Errors
///
/// When Postgres does not answer, or an id is too large for a load.
pub async fn pages_that_show(admin_url: &str) -> Result<Dependents> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let links: Vec<(i64, i64)> =
        sqlx::query_as("SELECT DISTINCT related_id, product_id FROM related_products")
            .fetch_all(&mut connection)
            .await?;
    connection.close().await?;
    let id = |id: i64| u32::try_from(id).context("a product's id");
    let mut pages = Dependents::new();
    for (shown, page) in links {
        pages.entry(id(shown)?).or_default().push(id(page)?);
    }
    Ok(pages)
}

/// Whether Postgres keeps the time of each commit.
pub(super) async fn keeps_commit_times(url: &str) -> Result<bool> {
    let mut connection = PgConnection::connect(url).await?;
    let setting: String =
        sqlx::query_scalar("SHOW track_commit_timestamp").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(setting == "on")
}

/// Makes `count` products, from the id `first` on, that differ in nothing but their ids, so that
/// views of ids with as many digits are all as long.
///
/// # Errors
///
/// When Postgres does not answer, or the ids are taken.
pub async fn equal_products(admin_url: &str, first: u32, count: u32) -> Result<()> {
    let last = u64::from(first) + u64::from(count) - 1;
    let make = format!(
        "INSERT INTO categories (id, slug, name) VALUES (1, 'equal', 'Equal');
         INSERT INTO products (id, sku, name, description, category_id, price_minor, currency,
                               created_at, updated_at)
         SELECT id, 'equal-' || id, 'One of many', 'As all others', 1, 1999, 'EUR',
                '2025-01-01Z', '2025-01-01Z'
         FROM generate_series({first}, {last}) AS made (id);
         ANALYZE products, larder.versions"
    );
    run(admin_url, make).await
}

/// All products, those with the most reviews first.
///
/// # Errors
///
/// When Postgres does not answer, or an id is too large for a load.
pub async fn products_by_popularity(admin_url: &str) -> Result<Vec<u32>> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT p.id FROM products p
         LEFT JOIN (SELECT product_id, count(*) AS n FROM reviews GROUP BY 1) r
             ON r.product_id = p.id
         ORDER BY r.n DESC NULLS LAST, p.id",
    )
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    ids.into_iter().map(|id| u32::try_from(id).context("a product's id")).collect()
}

/// The id that Postgres gives the next new product.
///
/// # Errors
///
/// When Postgres does not answer, or the id is too large for a load.
pub async fn next_product_id(admin_url: &str) -> Result<u32> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let next: i64 = sqlx::query_scalar(
        "SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('products', 'id')::regclass), 0)
                + 1",
    )
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    u32::try_from(next).context("a product's id")
}

/// Deletes the products that a load has made whose ids are `first` and above, so that the next one
/// begins with the same catalogue.
///
/// # Errors
///
/// When Postgres does not answer.
pub async fn unmake_products(admin_url: &str, first: u32) -> Result<()> {
    run(admin_url, format!("DELETE FROM products WHERE id >= {first} AND sku LIKE '{MADE}%'")).await
}

/// Rows of the catalogue: products and reviews.
///
/// # Errors
///
/// When Postgres does not answer.
pub async fn catalogue_size(admin_url: &str) -> Result<(i64, i64)> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let counts =
        sqlx::query_as("SELECT (SELECT count(*) FROM products), (SELECT count(*) FROM reviews)")
            .fetch_one(&mut connection)
            .await?;
    connection.close().await?;
    Ok(counts)
}

/// Mean time in milliseconds of the statements of `role` that begin with `beginning`, by
/// Postgres's own clock; `None` if there was none.
///
/// # Errors
///
/// When Postgres does not answer.
pub async fn mean_statement_ms(
    admin_url: &str,
    role: &str,
    beginning: &str,
) -> Result<Option<f64>> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let mean = sqlx::query_scalar(
        "SELECT sum(s.total_exec_time) / nullif(sum(s.calls), 0)
         FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
         WHERE r.rolname = $1 AND starts_with(ltrim(s.query), $2)",
    )
    .bind(role)
    .bind(beginning)
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(mean)
}
