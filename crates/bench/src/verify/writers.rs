//! The writers: half through the API, half in SQL. A product has one writer at a time, so that
//! the writer knows whether it is there; different products are written at the same time.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use super::history::{Expected, Phase, Read};
use super::reader::{PATIENCE, Reader, VERSION, Wanted, version_of};
use super::sql;
use crate::load::{Client, Keys, Request, pace, poisson};
use crate::scenario::ReadView;

/// Writes under way at once, at most.
const WRITERS: u64 = 24;
/// So long after the end of the load writes are still made that were due before it.
const LATE: Duration = Duration::from_secs(5);
/// How often a transaction in SQL is tried that gives way in deadlocks.
const SQL_TRIES: u32 = 5;
/// Products that one statement changes, at most.
const SEVERAL: usize = 6;

/// What a writer does. The first four are through the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `PATCH` of the price.
    Price,
    /// `PATCH` of a stock.
    Stock,
    /// `POST` of a review.
    Review,
    /// `DELETE`; a little later the id is back, by SQL.
    Delete,
    /// `UPDATE` of one row.
    SqlPrice,
    /// `UPDATE` of several rows in one statement.
    SqlPrices,
    /// `DELETE` and `INSERT` of the same id in one transaction.
    SqlReplace,
    /// `DELETE`; a little later `INSERT` of the same id.
    SqlDelete,
}

/// How often an operation went well, and how often not.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Tally {
    /// Committed.
    pub done: u64,
    /// Refused, rolled back, or of unknown outcome.
    pub failed: u64,
}

/// What the writers did and, through other processes, saw of it.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) tallies: BTreeMap<Operation, Tally>,
    pub(super) reads: Vec<Read>,
}

struct Product {
    /// The last price that anybody tried to give it. Prices only grow: each names its write.
    price: i64,
    /// Whether it is unknown if it is there: nobody writes it any more.
    parked: bool,
}

type Products = HashMap<u32, Mutex<Product>>;

/// Writes `rate` times a second for `length`.
pub(super) async fn write_for(
    addresses: &[SocketAddr],
    admin_url: &str,
    keys: &Keys,
    rate: f64,
    length: Duration,
    seed: u64,
) -> Result<Written> {
    let known = sql::current_prices(admin_url).await?;
    let product = |price| Mutex::new(Product { price, parked: false });
    let products: Products = known.into_iter().map(|(id, price)| (id, product(price))).collect();
    let products = Arc::new(products);
    let due = if rate > 0.0 { poisson(rate, length, seed) } else { Vec::new() };
    let released = Arc::new(Semaphore::new(0));
    let next = Arc::new(AtomicUsize::new(0));
    let give_up = Instant::now() + length + LATE;
    let mut workers = Vec::new();
    for number in 0..WRITERS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number + 1);
        let mut writer = Worker {
            clients: addresses.iter().map(|address| Client::new(*address)).collect(),
            reader: Reader::new(addresses),
            connection: PgConnection::connect(admin_url).await?,
            admin_url: admin_url.to_owned(),
            keys: keys.worker(number),
            random,
            products: Arc::clone(&products),
            written: Written::default(),
        };
        let (released, next, all) = (Arc::clone(&released), Arc::clone(&next), due.len());
        workers.push(tokio::spawn(async move {
            loop {
                // Closed once all have been released: those that are left are due.
                if let Ok(permit) = released.acquire().await {
                    permit.forget();
                }
                if next.fetch_add(1, Ordering::Relaxed) >= all {
                    return writer.written;
                }
                if Instant::now() > give_up {
                    // It was due, and nobody had come to it: it was not done.
                    let operation = writer.choose();
                    writer.tally(operation, false);
                    continue;
                }
                writer.write().await;
            }
        }));
    }
    let start = Instant::now();
    let pacer = std::thread::spawn(move || pace(start, &due, &released));
    let mut written = Written::default();
    for worker in workers {
        let part = worker.await.context("a writer ended early")?;
        written.reads.extend(part.reads);
        for (operation, tally) in part.tallies {
            let known = written.tallies.entry(operation).or_default();
            known.done += tally.done;
            known.failed += tally.failed;
        }
    }
    let _ = pacer.join();
    Ok(written)
}

struct Worker {
    clients: Vec<Client>,
    reader: Reader,
    connection: PgConnection,
    admin_url: String,
    keys: Keys,
    random: ChaCha8Rng,
    products: Arc<Products>,
    written: Written,
}

impl Worker {
    /// One operation on a product that nobody else is writing.
    async fn write(&mut self) {
        let products = Arc::clone(&self.products);
        let Some((id, mut product)) = self.take(&products) else { return };
        let operation = self.choose();
        product.price += 1;
        let price = product.price;
        let done = match operation {
            Operation::Price => {
                let body = format!(r#"{{"price": {{"minor": {price}, "currency": "EUR"}}}}"#);
                self.api(id, Request::patch(format!("/products/{id}"), body)).await
            }
            Operation::Stock => {
                let stock = self.random.random_range(0..1_000);
                let body = format!(r#"{{"stock": [{{"sku": "LD-{id:07}-1", "stock": {stock}}}]}}"#);
                self.api(id, Request::patch(format!("/products/{id}"), body)).await
            }
            Operation::Review => {
                let rating = self.random.random_range(1..=5);
                let body =
                    format!(r#"{{"rating": {rating}, "title": "Seen", "author": "A verifier"}}"#);
                self.api(id, Request::post(format!("/products/{id}/reviews"), body)).await
            }
            Operation::Delete => {
                match self.ask(&Request::delete(format!("/products/{id}"))).await {
                    Some((process, response)) if response.status() == 204 => {
                        self.read_own(id, process, &response, false).await;
                        product.parked = !self.bring_back(id, price).await;
                        true
                    }
                    _ => {
                        product.parked = true;
                        false
                    }
                }
            }
            Operation::SqlPrice => self.sql(sql::prices(&[(id, price)])).await,
            Operation::SqlPrices => {
                let mut others = Vec::new();
                for _ in 1..SEVERAL {
                    others.extend(self.take(&products));
                }
                let mut all = vec![(id, price)];
                for (id, product) in &mut others {
                    product.price += 1;
                    all.push((*id, product.price));
                }
                self.sql(sql::prices(&all)).await
            }
            Operation::SqlReplace => {
                let [lock, delete] = [sql::lock(id), sql::delete(id)];
                self.sql(format!("{lock}; {delete}; {}", sql::create(id, price))).await
            }
            Operation::SqlDelete => {
                let deleted = self.sql(sql::delete(id)).await;
                if deleted {
                    product.parked = !self.bring_back(id, price).await;
                }
                deleted
            }
        };
        self.tally(operation, done);
    }

    fn tally(&mut self, operation: Operation, done: bool) {
        let tally = self.written.tallies.entry(operation).or_default();
        if done { tally.done += 1 } else { tally.failed += 1 }
    }

    fn choose(&mut self) -> Operation {
        match self.random.random_range(0..40) {
            0..8 => Operation::Price,
            8..13 => Operation::Stock,
            13..18 => Operation::Review,
            18..20 => Operation::Delete,
            20..30 => Operation::SqlPrice,
            30..36 => Operation::SqlPrices,
            36..38 => Operation::SqlReplace,
            _ => Operation::SqlDelete,
        }
    }

    /// A product by its popularity among those that nobody is writing.
    fn take<'a>(&mut self, products: &'a Products) -> Option<(u32, MutexGuard<'a, Product>)> {
        for _ in 0..50 {
            let id = self.keys.next_key();
            if let Some(product) = products.get(&id)
                && let Ok(product) = product.try_lock()
                && !product.parked
            {
                return Some((id, product));
            }
        }
        None
    }

    /// Asks any process: which one, and its answer; `None` without one.
    async fn ask(&mut self, request: &Request) -> Option<(usize, hyper::Response<Bytes>)> {
        let process = self.random.random_range(0..self.clients.len());
        let asked = self.clients[process].respond(request, None);
        Some((process, tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?))
    }

    /// Writes through any process, and reads through any other as one who has written.
    async fn api(&mut self, id: u32, request: Request) -> bool {
        let Some((process, response)) = self.ask(&request).await else { return false };
        self.read_own(id, process, &response, true).await;
        response.status().is_success()
    }

    /// Reads through another process than the one written through, as one who has written.
    async fn read_own(
        &mut self,
        id: u32,
        process: usize,
        response: &hyper::Response<Bytes>,
        present: bool,
    ) {
        let header = response.headers().get(VERSION).and_then(|text| text.to_str().ok());
        let Some(text) = header else { return };
        let summary = version_of(text, ReadView::ProductSummary.namespace());
        let page = version_of(text, ReadView::ProductPage.namespace());
        // Both views are looked at, where the write has changed both.
        let told = match (self.random.random(), summary, page) {
            (true, Some(version), _) => Some((ReadView::ProductSummary, version)),
            (_, _, Some(version)) => Some((ReadView::ProductPage, version)),
            (_, _, None) => None,
        };
        let Some((view, version)) = told else { return };
        let others = self.clients.len();
        let other = (process + self.random.random_range(1..others.max(2))) % others;
        let process = u8::try_from(other).expect("a handful of processes");
        let wanted = Wanted { process, view, product: id, phase: Phase::Session };
        let expected = Expected { version, present };
        let read = self.reader.read_after(wanted, (text, expected)).await;
        self.written.reads.push(read);
    }

    async fn sql(&mut self, sql: String) -> bool {
        for _ in 0..SQL_TRIES {
            match sql::run(&mut self.connection, sql.clone()).await {
                Ok(()) => return true,
                // Rolled back to end a deadlock, as happens to everybody who writes several rows.
                Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("40P01") => {}
                // A product that another transaction has just deleted, say.
                Err(sqlx::Error::Database(_)) => return false,
                Err(_lost) => {
                    if let Ok(connection) = PgConnection::connect(&self.admin_url).await {
                        self.connection = connection;
                    }
                    return false;
                }
            }
        }
        false
    }

    /// Makes a deleted product anew, once readers have had time to see that it is gone.
    async fn bring_back(&mut self, id: u32, price: i64) -> bool {
        tokio::time::sleep(Duration::from_millis(self.random.random_range(5..400))).await;
        for _ in 0..5 {
            if self.sql(format!("{}; {}", sql::lock(id), sql::create(id, price))).await {
                return true;
            }
        }
        false
    }
}
