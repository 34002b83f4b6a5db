//! One statement changes most of the catalogue, while it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use super::VerifyArgs;
use super::audit::Audit;
use super::fleet::{Fleet, Setup};
use super::history::now;
use super::judge::{Happened, judge};
use super::load::{read_for, sweep};
use super::mixed::micros;
use super::outcome::Run;
use super::sql;
use crate::bed::{Bed, products_by_popularity};
use crate::load::{Keys, histogram};

/// The catalogue, and how much of it changes at once.
pub(super) const PRODUCTS: u32 = 120_000;
pub(super) const REVIEWS: u32 = 240_000;
const CHANGED: u32 = 100_000;
/// Products whose views are cached in every process before, and read meanwhile.
const HOT: usize = 3_000;
const READ_EXPONENT: f64 = 0.8;
/// How long after the commit everything must be right.
const BOUND: Duration = Duration::from_secs(5);
/// The load is made in pieces of this length, until everything is over.
const PIECE: Duration = Duration::from_secs(4);

/// Runs the statement, and checks all that was cached.
pub(super) async fn bulk(bed: &Bed, setup: &Setup, args: &VerifyArgs) -> Result<Run> {
    eprintln!("{} in {}: {PRODUCTS} products …", setup.strategy, setup.tiers);
    let fleet = Fleet::start(bed, setup).await?;
    let (url, addresses) = (fleet.admin_url.as_str(), fleet.addresses());
    let mut hot = products_by_popularity(url).await?;
    hot.truncate(HOT);
    eprintln!("  {HOT} of them are cached by every process …");
    sweep(&addresses, &hot).await;
    let mut keys = Keys::new(hot.clone().into(), READ_EXPONENT, args.seed);

    let audit = Audit::begin(url).await?;
    let over = Arc::new(AtomicBool::new(false));
    let start = now();
    let (load, swept) = tokio::join!(
        read_until(&addresses, &mut keys, args, &over),
        change(url, &addresses, &hot, &over),
    );
    let swept = swept?;
    let mut history = audit.end(&fleet.roles()).await?;
    history.regions.clone_from(&fleet.regions);
    history.reads = load.reads;
    history.reads.extend(swept);
    let happened = Happened {
        scenario: "bulk",
        setup,
        seconds: (now() - start) as f64 / 1e6,
        offered: (args.rate, 0.0),
        bound: micros(BOUND),
        start,
        latency: load.latency,
        pacing_p99_ms: load.pacing_p99_ms,
        writes: std::collections::BTreeMap::new(),
        long: None,
        history,
    };
    Ok(judge(happened, false))
}

/// The statement; then, when the bound is over, every cached view once more.
async fn change(
    url: &str,
    addresses: &[std::net::SocketAddr],
    hot: &[u32],
    over: &AtomicBool,
) -> Result<Vec<super::history::Read>> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut connection = PgConnection::connect(url).await?;
    let statement =
        format!("UPDATE products SET price_minor = price_minor + 1 WHERE id <= {CHANGED}");
    let began = now();
    let changed = sql::run(&mut connection, statement).await;
    eprintln!("  {CHANGED} rows changed in {:.1} s …", (now() - began) as f64 / 1e6);
    if changed.is_ok() {
        tokio::time::sleep(BOUND).await;
    }
    let swept = sweep(addresses, hot).await;
    over.store(true, Ordering::Relaxed);
    changed?;
    connection.close().await?;
    Ok(swept)
}

async fn read_until(
    addresses: &[std::net::SocketAddr],
    keys: &mut Keys,
    args: &VerifyArgs,
    over: &AtomicBool,
) -> super::load::Reads {
    let mut all =
        super::load::Reads { reads: Vec::new(), latency: histogram(), pacing_p99_ms: 0.0 };
    let mut seed = args.seed;
    while !over.load(Ordering::Relaxed) {
        let piece = read_for(addresses, keys, args.rate, PIECE, seed).await;
        all.reads.extend(piece.reads);
        all.latency.add(&piece.latency).expect("all histograms have the same bounds");
        all.pacing_p99_ms = all.pacing_p99_ms.max(piece.pacing_p99_ms);
        seed += 1;
    }
    all
}
