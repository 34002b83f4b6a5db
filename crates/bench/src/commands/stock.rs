//! Every order line of a real shop as a change of stock: what a write costs under each strategy.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog_repository::seed::online_retail::OnlineRetail;
use sqlx::{Connection, PgConnection};

use super::Session;
use super::again::{command, options, path};
use super::recorded::recorded;
use super::retail::order;
use crate::load::Request;
use crate::measure::Labels;
use crate::results::Run;
use crate::scenario::Contender;

/// Statements that a thousand writes may cost at most under `write-behind`: appends, flushes, and
/// looks at the journal.
const MOST_BEHIND: f64 = 20.0;
/// … and cost at least where each is committed on its own.
const LEAST_THROUGH: f64 = 1_000.0;

/// What to write, and how.
#[derive(Clone, Debug)]
pub struct Stock {
    /// Where `products.csv` and `order-lines.csv.xz` are.
    pub folder: PathBuf,
    /// Only the first order lines; 0: all.
    pub limit: usize,
    /// Requests under way at once.
    pub in_flight: usize,
    /// The strategies, each from an empty cache and on a catalogue of its own.
    pub contenders: Vec<Contender>,
}

impl Stock {
    /// The command line that makes the run of `contender` again.
    fn command(&self, contender: &Contender) -> String {
        let words = ["stock".into(), path(&self.folder)];
        command(words.into_iter().chain(options([
            ("--strategies", contender.strategy.clone()),
            ("--in-flight", self.in_flight.to_string()),
            ("--limit", self.limit.to_string()),
        ])))
    }
}

/// Sends every order line as a write of stock, and compares what is left with the file.
///
/// A shop's stock begins at all that was ever ordered of a product, so that no order is refused in
/// whatever order the requests arrive; a cancellation adds back.
///
/// # Errors
///
/// When the files cannot be read, a process does not start or the counts disagree.
pub async fn stock(session: &mut Session, stock: &Stock) -> Result<()> {
    let shop = OnlineRetail::open(&stock.folder)?;
    let count = match stock.limit {
        0 => shop.orders().len(),
        limit => limit.min(shop.orders().len()),
    };
    let lines = &shop.orders()[..count];
    let requests: Arc<[Request]> = lines.iter().map(|line| order(&shop, line)).collect();
    let (mut first, mut last) = (BTreeMap::new(), BTreeMap::new());
    for line in lines {
        let sku = shop.product(line).sku.to_string();
        *first.entry(sku.clone()).or_insert(0) += line.quantity.max(0);
        *last.entry(sku).or_insert(0) -= line.quantity;
    }
    for (sku, change) in &mut last {
        *change += first[sku];
    }
    let workload =
        format!("Online Retail, {count} changes of stock, {} in flight", stock.in_flight);
    let folder = stock.folder.to_str().context("the folder's name is not UTF-8")?;
    let mut runs: Vec<Run> = Vec::new();
    for contender in &stock.contenders {
        let url = session.bed.database().await?;
        session.bed.administer(&url, &["migrate"])?;
        session.bed.administer(&url, &["import-online-retail", folder])?;
        begin_with(&url, &first).await?;
        let api = session.api(contender, &url).await?;
        let labels = Labels { workload: workload.clone(), ..Labels::default() };
        let (again, requests) = (stock.command(contender), Arc::clone(&requests));
        let run = recorded(session, &api, labels, stock.in_flight, requests, again).await?;
        let name = &run.strategy;
        session.check(
            &format!("{workload} under {name}: every write is taken"),
            format!("{} errors in {} writes", run.errors, run.requests),
            run.errors == 0,
        );
        let left = read(&url).await?;
        let wrong = last.iter().filter(|(sku, pieces)| left.get(*sku) != Some(*pieces)).count();
        session.check(
            &format!("{workload} under {name}: final stock = sum of the file"),
            format!("{wrong} of {} stocks are another", last.len()),
            wrong == 0,
        );
        per_thousand(session, &run);
        session.run(run.clone());
        runs.push(run);
    }
    let median = |strategy: &str| {
        let run = runs.iter().find(|run| run.strategy == strategy);
        run.map(|run| run.latency_ms.p50)
    };
    if let (Some(through), Some(behind)) = (median("write-through"), median("write-behind")) {
        session.check(
            &format!("{workload}: median response of write-behind ≤ that of write-through"),
            format!("{behind:.1} ms and {through:.1} ms"),
            behind <= through,
        );
    }
    Ok(())
}

/// What a thousand writes cost in statements.
fn per_thousand(session: &mut Session, run: &Run) {
    let cost = run.db_queries.counted as f64 * 1_000.0 / run.requests.max(1) as f64;
    let found = format!("{cost:.1}");
    let name = format!("{} under {}: statements per 1,000 writes", run.workload, run.strategy);
    if run.strategy == "write-behind" {
        session.check(&format!("{name} ≤ {MOST_BEHIND}"), found, cost <= MOST_BEHIND);
    } else {
        session.check(&format!("{name} ≥ {LEAST_THROUGH}"), found, cost >= LEAST_THROUGH);
    }
}

async fn begin_with(admin_url: &str, stock: &BTreeMap<String, i32>) -> Result<()> {
    let mut admin = PgConnection::connect(admin_url).await?;
    let (skus, pieces): (Vec<&str>, Vec<i32>) =
        stock.iter().map(|(sku, pieces)| (sku.as_str(), *pieces)).unzip();
    sqlx::query(
        "UPDATE variants v SET stock = u.stock FROM unnest($1::text[], $2::int[]) AS u (sku, stock)
         WHERE v.sku = u.sku",
    )
    .bind(skus)
    .bind(pieces)
    .execute(&mut admin)
    .await?;
    admin.close().await?;
    Ok(())
}

async fn read(admin_url: &str) -> Result<BTreeMap<String, i32>> {
    let mut admin = PgConnection::connect(admin_url).await?;
    let rows: Vec<(String, i32)> =
        sqlx::query_as("SELECT sku, stock FROM variants").fetch_all(&mut admin).await?;
    admin.close().await?;
    Ok(rows.into_iter().collect())
}
