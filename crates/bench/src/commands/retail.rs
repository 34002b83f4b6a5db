//! The orders of a real shop: looks at pages, and changes of stock.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use catalog_repository::seed::online_retail::{OnlineRetail, OrderLine};
use serde_json::json;

use super::Session;
use super::again::{command, options, path, strategy};
use super::recorded::recorded;
use crate::load::Request;
use crate::measure::Labels;
use crate::scenario::{Contender, ReadView};
use crate::trace::{Step, fewest_loads, visits};

/// Where looks are placed before their orders.
const SEED: u64 = 7;

/// What to replay, and how.
#[derive(Clone, Debug)]
pub struct Retail {
    /// Where `products.csv` and `order-lines.csv.xz` are.
    pub folder: PathBuf,
    /// Only the first order lines; 0: all.
    pub limit: usize,
    /// Looks at a page for each order.
    pub looks: usize,
    /// The strategies, each from an empty cache and on a catalogue of its own.
    pub contenders: Vec<Contender>,
}

impl Retail {
    /// The command line that makes the run of `contender` again.
    fn command(&self, contender: &Contender) -> String {
        let words = ["online-retail".into(), path(&self.folder)];
        let looks = ("--looks", self.looks.to_string());
        let options = options([looks, ("--limit", self.limit.to_string())]);
        command(words.into_iter().chain(strategy(contender)).chain(options))
    }
}

/// Replays the shop's orders one step at a time.
///
/// # Errors
///
/// When the files cannot be read, a process does not start or the counts disagree.
pub async fn online_retail(session: &mut Session, retail: &Retail) -> Result<()> {
    let shop = OnlineRetail::open(&retail.folder)?;
    let steps = visits(&shop, retail.limit, retail.looks, SEED);
    let requests: Arc<[Request]> = steps.iter().map(|step| request(&shop, *step)).collect();
    let orders = steps.iter().filter(|step| matches!(step, Step::Order(_))).count();
    let fewest = fewest_loads(&shop, &steps);
    let workload =
        format!("Online Retail, {orders} orders, {} looks each, 1 at a time", retail.looks);
    let folder = retail.folder.to_str().context("the folder's name is not UTF-8")?;
    for contender in &retail.contenders {
        let url = session.bed.database().await?;
        session.bed.administer(&url, &["migrate"])?;
        session.bed.administer(&url, &["import-online-retail", folder])?;
        let api = session.api(contender, &url).await?;
        let cached = contender.tiers != "none";
        let floor = Some(fewest);
        let labels = Labels { workload: workload.clone(), floor, ..Labels::default() };
        let again = retail.command(contender);
        let run = recorded(session, &api, labels, 1, Arc::clone(&requests), again).await?;
        session.check(
            &format!("{workload} under {}: every step is answered", run.strategy),
            format!("{} errors in {} steps", run.errors, run.requests),
            run.errors == 0,
        );
        if cached && contender.ttl_ms == 0 && contender.strategy != "ttl" {
            session.check(
                &format!("{workload} under {}: loads = fewest possible", run.strategy),
                format!("{} loads, {fewest} are needed", run.db_queries.loads),
                run.db_queries.loads == fewest,
            );
        }
        session.run(run);
    }
    Ok(())
}

fn request(shop: &OnlineRetail, step: Step) -> Request {
    match step {
        Step::Look(id) => Request::get(ReadView::ProductPage.path(id)),
        Step::Order(index) => order(shop, &shop.orders()[index]),
    }
}

/// The change of stock that an order line is.
pub(super) fn order(shop: &OnlineRetail, line: &OrderLine) -> Request {
    let change = json!({ "sku": shop.product(line).sku.as_str(), "delta": -line.quantity });
    let body = json!({ "stock_delta": [change] }).to_string();
    Request::patch(format!("/products/{}", line.product.get()), body)
}
