//! After a load: until nothing waits, what is in Postgres, and what readers see.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::fleet::{Fleet, counted_sku, set_sku};
use super::record::{Found, Record};
use crate::scenario::ReadView;

/// How long what waits may take to be applied.
const DRAINED: Duration = Duration::from_secs(60);
/// How long after the last write readers may see what was before it.
const COHERENT: Duration = Duration::from_secs(2);

/// An append that its process no longer waits for may still be under way.
const UNDER_WAY: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
    AND (state <> 'idle' AND query LIKE '%journal_append%')";

const FOUND: &str = "
    SELECT p.id, c.stock::bigint, s.stock::bigint, p.price_minor
    FROM products p
    JOIN variants c ON c.product_id = p.id AND c.sku = 'COUNTED-' || p.id
    JOIN variants s ON s.product_id = p.id AND s.sku = 'SET-' || p.id
    WHERE p.id = ANY ($1)";

/// Waits until nothing is under way and every journal is empty; how much is left if that takes too
/// long.
pub(super) async fn drained(fleet: &Fleet<'_>) -> Result<u64> {
    let deadline = Instant::now() + DRAINED;
    loop {
        let mut left = count(fleet, UNDER_WAY).await?;
        for api in fleet.apis() {
            let shown = api.client().fetch("/admin/journal").await?;
            let shown: Value = serde_json::from_slice(&shown)?;
            left += shown["depth"].as_u64().context("/admin/journal tells its depth")?;
        }
        if left == 0 || Instant::now() > deadline {
            return Ok(left);
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Writes that nobody applied: all of them could be.
pub(super) async fn dead_letters(fleet: &Fleet<'_>) -> Result<u64> {
    count(fleet, "SELECT count(*) FROM larder.dead_letters").await
}

async fn count(fleet: &Fleet<'_>, sql: &'static str) -> Result<u64> {
    let mut admin = PgConnection::connect(&fleet.admin_url).await?;
    let count: i64 = sqlx::query_scalar(sql).fetch_one(&mut admin).await?;
    admin.close().await?;
    Ok(count.unsigned_abs())
}

/// What is in the tables of each record's product.
pub(super) async fn found(fleet: &Fleet<'_>, records: &[Record]) -> Result<Vec<Found>> {
    let mut admin = PgConnection::connect(&fleet.admin_url).await?;
    let ids: Vec<i64> = records.iter().map(|record| record.product.into()).collect();
    let rows: Vec<(i64, i64, i64, i64)> =
        sqlx::query_as(FOUND).bind(ids).fetch_all(&mut admin).await?;
    admin.close().await?;
    let row = |(id, counted, stock, price)| (id, Found { counted, stock, price });
    let by_id: HashMap<i64, Found> = rows.into_iter().map(row).collect();
    let of = |record: &Record| {
        let found = by_id.get(&record.product.into()).copied();
        found.with_context(|| format!("product {} is gone", record.product))
    };
    records.iter().map(of).collect()
}

/// Reads every written product from every process as any reader does: how many reads there were, and
/// those that do not show what is in the tables.
pub(super) async fn sweep(
    fleet: &Fleet<'_>,
    records: &[Record],
    found: &[Found],
) -> Result<(u64, Vec<String>)> {
    sleep(COHERENT).await;
    let (mut reads, mut wrong) = (0, Vec::new());
    for (number, api) in fleet.apis().iter().enumerate() {
        let mut client = api.client();
        for (record, found) in records.iter().zip(found) {
            for view in [ReadView::ProductPage, ReadView::ProductSummary] {
                let body = client.fetch(&view.path(record.product)).await?;
                let body: Value = serde_json::from_slice(&body)?;
                reads += 1;
                let stock = |sku: String| {
                    let mut variants = body["variants"].as_array().into_iter().flatten();
                    variants.find(|variant| variant["sku"] == *sku)?["stock"].as_i64()
                };
                let (counted, set) =
                    (stock(counted_sku(record.product)), stock(set_sku(record.product)));
                let is_shown = body["price"]["minor"] == found.price
                    && counted.is_none_or(|counted| counted == found.counted)
                    && set.is_none_or(|set| set == found.stock);
                if !is_shown {
                    let shown = (counted, set, &body["price"]["minor"]);
                    let product = record.product;
                    wrong.push(format!(
                        "product {product}: process {number} shows {shown:?} in {view:?}: {found:?}"
                    ));
                }
            }
        }
    }
    Ok((reads, wrong))
}
