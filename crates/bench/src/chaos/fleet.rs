//! What is broken: API processes under write-behind that share one database and one cache.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::{Instant, sleep};

use super::ChaosArgs;
use super::load::Products;
use super::sender::Ports;
use crate::bed::{Api, ApiSettings, Bed};

/// Lives of entries, in milliseconds: far longer than a run.
const TTL_MS: u64 = 3_600_000;
/// How long an armed process may take to come to where it ends.
const ARMED: Duration = Duration::from_secs(60);

/// Two variants for each product, with nothing of them in stock, and the lowest price.
const PREPARE: &str = "
    INSERT INTO variants (product_id, sku, name, stock)
    SELECT p.id, k.kind || '-' || p.id, k.kind, 0
    FROM products p CROSS JOIN (VALUES ('COUNTED'), ('SET')) AS k (kind);
    UPDATE products SET price_minor = 1, currency = 'EUR'";

/// The SKU of a product's stock that is counted.
pub(super) fn counted_sku(product: u32) -> String {
    format!("COUNTED-{product}")
}

/// The SKU of a product's stock that is set.
pub(super) fn set_sku(product: u32) -> String {
    format!("SET-{product}")
}

/// The processes, and their database.
pub(super) struct Fleet<'b> {
    bed: &'b Bed,
    apis: Vec<Api>,
    pub(super) ports: Ports,
    pub(super) products: Arc<Products>,
    pub(super) admin_url: String,
}

impl<'b> Fleet<'b> {
    /// Makes and fills a database, and starts the processes.
    pub(super) async fn start(bed: &'b Bed, args: &ChaosArgs) -> Result<Self> {
        let admin_url = bed.database().await?;
        bed.administer(&admin_url, &["migrate"])?;
        let products = args.products.to_string();
        bed.administer(&admin_url, &["seed", "--products", &products, "--reviews", &products])?;
        let mut admin = PgConnection::connect(&admin_url).await?;
        let durable: String =
            sqlx::query_scalar("SHOW synchronous_commit").fetch_one(&mut admin).await?;
        ensure!(durable == "on", "synchronous_commit is {durable}: nothing would be promised");
        sqlx::raw_sql(PREPARE).execute(&mut admin).await?;
        let ids: Vec<i64> =
            sqlx::query_scalar("SELECT id FROM products ORDER BY id").fetch_all(&mut admin).await?;
        admin.close().await?;
        let ids = ids.into_iter().map(u32::try_from).collect::<Result<_, _>>()?;

        let environment = bed.new_name();
        let setting = |key: &str, value: String| (format!("LARDER__WRITE_BEHIND__{key}"), value);
        let mut more = vec![setting("FLUSH_AFTER_MS", args.flush_after_ms.to_string())];
        if !args.is_journaled() {
            more.push(setting("MODE", args.mode.clone()));
        }
        let mut apis = Vec::new();
        for _ in 0..args.processes {
            let settings = ApiSettings {
                strategy: "write-behind".to_owned(),
                tiers: "l1+l2".to_owned(),
                ttl_ms: TTL_MS,
                l1_ttl_ms: TTL_MS,
                admin_url: admin_url.clone(),
                environment: Some(environment.clone()),
                redis_nodes: None,
                connections: 0,
                more: more.clone(),
            };
            apis.push(Api::start(bed, settings).await?);
        }
        let ports = Ports::new(apis.iter().map(|api| api.address().port()));
        Ok(Self { bed, apis, ports, products: Arc::new(Products::new(ids)), admin_url })
    }

    pub(super) const fn bed(&self) -> &Bed {
        self.bed
    }

    pub(super) fn apis(&self) -> &[Api] {
        &self.apis
    }

    /// `kill -9`, and a new start.
    pub(super) async fn kill(&mut self, process: usize) -> Result<()> {
        self.apis[process].kill();
        ensure!(self.restart(process, None).await?, "a process ended that was not to");
        Ok(())
    }

    /// Starts a process again, to end at a place if it is told one; whether it came up.
    pub(super) async fn restart(&mut self, process: usize, crash: Option<String>) -> Result<bool> {
        let more: Vec<_> = crash.into_iter().map(|place| ("LARDER_CRASH_AT", place)).collect();
        let api = &mut self.apis[process];
        let is_up = api.restart(self.bed, &more).await?;
        if is_up {
            self.ports.set(process, api.address().port());
        }
        Ok(is_up)
    }

    /// Waits until a process that was told a place has ended there.
    pub(super) async fn crashed(&mut self, process: usize) -> Result<()> {
        let deadline = Instant::now() + ARMED;
        while self.apis[process].is_running() {
            if Instant::now() > deadline {
                bail!("an API process did not come to the place where it was to end");
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Runs SQL as the administrator; how many rows it changed.
    pub(super) async fn execute(&self, sql: String) -> Result<u64> {
        let mut admin = PgConnection::connect(&self.admin_url).await?;
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut admin).await?;
        admin.close().await?;
        Ok(done.rows_affected())
    }
}
