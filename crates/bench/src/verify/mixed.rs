//! Everybody reads and writes, through the API and in SQL, while one transaction stays open.

use std::time::Duration;

use anyhow::Result;

use super::audit::Audit;
use super::fleet::{Fleet, Setup};
use super::history::now;
use super::judge::{Happened, judge};
use super::load::{read_for, sweep};
use super::outcome::Run;
use super::writers::write_for;
use super::{VerifyArgs, sql};
use crate::bed::{Bed, products_by_popularity};
use crate::load::Keys;

/// Laws of popularity: what is read most is written most, but less so.
const READ_EXPONENT: f64 = 0.99;
const WRITE_EXPONENT: f64 = 0.6;
/// Where the products of the long transaction are in the order of popularity: often read.
const LONELY_RANK: usize = 10;
/// How long before the end of the load the long transaction commits.
const BEFORE_THE_END: Duration = Duration::from_secs(5);
/// The most popular products are read by every process before the load.
const WARM: usize = 500;

/// Runs the load, reads every key once more, and checks it all.
pub(super) async fn mixed(bed: &Bed, setup: &Setup, args: &VerifyArgs) -> Result<Run> {
    eprintln!("{} in {}: {} products …", setup.strategy, setup.tiers, setup.products);
    let fleet = Fleet::start(bed, setup).await?;
    let (url, addresses) = (fleet.admin_url.as_str(), fleet.addresses());
    sql::add_lonely(url).await?;
    let mut by_rank = products_by_popularity(url).await?;
    by_rank.retain(|id| ![sql::LONELY, sql::LATE].contains(id));
    let written = Keys::new(by_rank.clone().into(), WRITE_EXPONENT, args.seed);
    for id in [sql::LONELY, sql::LATE] {
        by_rank.insert(LONELY_RANK.min(by_rank.len()), id);
    }
    let mut read = Keys::new(by_rank.clone().into(), READ_EXPONENT, args.seed + 1);
    sweep(&addresses, &by_rank[..WARM.min(by_rank.len())]).await;

    let audit = Audit::begin(url).await?;
    let length = Duration::from_secs(args.seconds.into());
    let open = length.saturating_sub(BEFORE_THE_END).max(length / 2);
    let write_rate = args.write_rate();
    let start = now();
    eprintln!("  {:.0} reads/s and {write_rate:.0} writes/s for {length:?} …", args.rate);
    let link = async { if args.late_link { sql::link_late(url, open / 2).await } else { Ok(()) } };
    let (reads, writes, long, linked) = tokio::join!(
        read_for(&addresses, &mut read, args.rate, length, args.seed),
        write_for(&addresses, url, &written, write_rate, length, args.seed),
        sql::long_transaction(url, open),
        link,
    );
    linked?;
    let (writes, long) = (writes?, long?);
    tokio::time::sleep(args.bound()).await;
    eprintln!("  every key once more, from every process …");
    let swept = sweep(&addresses, &by_rank).await;

    let mut history = audit.end(&fleet.roles()).await?;
    history.regions.clone_from(&fleet.regions);
    history.reads = reads.reads;
    history.reads.extend(writes.reads);
    history.reads.extend(swept);
    let happened = Happened {
        scenario: "mixed",
        setup,
        seconds: length.as_secs_f64(),
        offered: (args.rate, write_rate),
        bound: micros(args.bound()),
        start,
        latency: reads.latency,
        pacing_p99_ms: reads.pacing_p99_ms,
        writes: writes.tallies,
        long: Some((long, open.as_secs_f64())),
        history,
    };
    Ok(judge(happened, true))
}

/// In microseconds.
pub(super) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
