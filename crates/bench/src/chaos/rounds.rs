//! The rounds of one fault under one load, and what is found afterwards.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use larder::CrashPoint;
use larder_stack::RedisCluster;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, sleep};

use super::ChaosArgs;
use super::check::{Wrong, check};
use super::fault::Fault;
use super::fleet::Fleet;
use super::load::{Done, Load};
use super::outcome::Rounds;
use super::record::{Outcome, Record};
use super::sabotage::sabotage;
use super::settle;

/// The shortest and the longest time between two rounds, in milliseconds.
const BETWEEN_MS: (u64, u64) = (200, 1_200);
/// How long writes may go without an acknowledgement after a fault is over.
const RESUMED: Duration = Duration::from_secs(60);
/// How long a replica may take to take over.
const FAILOVER: Duration = Duration::from_secs(30);
/// How long the load goes on after the last round.
const AFTER: Duration = Duration::from_millis(500);
/// The process that ends at named places.
const ARMED: usize = 0;
/// Cases that are told.
const CASES: usize = 20;

/// `rounds` of `fault`, and the comparison of the clients' records with what is there.
pub(super) async fn rounds(
    fleet: &mut Fleet<'_>,
    fault: Fault,
    rounds: u32,
    args: &ChaosArgs,
) -> Result<Rounds> {
    eprintln!("{fault}: {rounds} rounds …");
    let mut random = ChaCha8Rng::seed_from_u64(args.seed);
    let began = Instant::now();
    if let Fault::Crash(place) = fault {
        // Before the load: this end is not one of the rounds.
        fleet.restart(ARMED, Some(passing(place, &mut random))).await?;
    }
    let load = Load::begin(&fleet.ports, &fleet.products, args.keys, args.seed);
    load.goes_on(RESUMED).await?;
    for round in 1..=rounds {
        sleep(Duration::from_millis(random.random_range(BETWEEN_MS.0..BETWEEN_MS.1))).await;
        match fault {
            Fault::Kill => {
                let process = random.random_range(0..fleet.apis().len());
                fleet.kill(process).await?;
            }
            Fault::Crash(place) => {
                fleet.crashed(ARMED).await?;
                let next = (round < rounds).then(|| passing(place, &mut random));
                let is_last = next.is_none();
                // Told a place, it may come to it before it is up: that is the next round then.
                let is_up = fleet.restart(ARMED, next).await?;
                ensure!(is_up || !is_last, "a process ended that was not to");
            }
            Fault::RedisPrimary => kill_primary(fleet.bed().redis()?, &mut random).await?,
            Fault::PostgresRestart | Fault::PostgresCrash => {
                let mut postgres = fleet.bed().postgres()?;
                if fault == Fault::PostgresCrash {
                    postgres.kill()
                } else {
                    postgres.stop()
                }
                postgres.restart().await?;
            }
        }
        load.goes_on(RESUMED).await.with_context(|| format!("after round {round} of {fault}"))?;
    }
    if let Some(name) = &args.sabotage {
        // After the last fault: a write of unknown outcome could be what explains it.
        sabotage(fleet, name).await?;
    }
    sleep(AFTER).await;
    let done = load.end().await?;
    let seconds = began.elapsed().as_secs_f64();
    compare(fleet, fault, rounds, seconds, done).await
}

/// A place, and at which passing: appends are many a second, flushes a few.
fn passing(place: CrashPoint, random: &mut ChaCha8Rng) -> String {
    let passing = match place {
        CrashPoint::BeforeAppend | CrashPoint::AmidAppend | CrashPoint::BeforeAcknowledgement => {
            random.random_range(5..100)
        }
        CrashPoint::BeforeFlush | CrashPoint::BeforeFlushCommit | CrashPoint::AfterFlush => {
            random.random_range(1..6)
        }
    };
    format!("{}:{passing}", place.as_str())
}

/// Ends a primary, waits until a replica has taken over, and starts it again as a replica.
async fn kill_primary(mut redis: RedisCluster, random: &mut ChaCha8Rng) -> Result<()> {
    let before = redis.primaries().await;
    let victim = *before.choose(random).context("a Redis Cluster has primaries")?;
    redis.kill(victim);
    let deadline = Instant::now() + FAILOVER;
    while redis.primaries().await.len() < before.len() {
        ensure!(Instant::now() < deadline, "no replica has taken over from a Redis primary");
        sleep(Duration::from_millis(50)).await;
    }
    redis.revive(victim).await?;
    Ok(())
}

async fn compare(
    fleet: &Fleet<'_>,
    fault: Fault,
    rounds: u32,
    seconds: f64,
    done: Done,
) -> Result<Rounds> {
    let left = settle::drained(fleet).await?;
    let found = settle::found(fleet, &done.records).await?;
    let mut out = Rounds {
        fault: fault.to_string(),
        rounds,
        seconds,
        products: done.records.len(),
        reads: done.reads,
        undone: done.undone,
        left,
        dead_letters: settle::dead_letters(fleet).await?,
        longest_outage_ms: done.longest_outage.as_secs_f64() * 1_000.0,
        cases: done.cases,
        ..Rounds::default()
    };
    for (record, found) in done.records.iter().zip(&found) {
        count(record, &mut out);
        let wrong = check(record, found);
        if wrong.total() > 0 && out.cases.len() < CASES {
            out.cases.push(format!("product {}: {wrong:?}: {found:?}", record.product));
        }
        let Wrong { lost, twice, order, arrived } = wrong;
        out.lost += lost;
        out.twice += twice;
        out.order += order;
        out.unknown_arrived += arrived;
    }
    let (seen, unseen) = settle::sweep(fleet, &done.records, &found).await?;
    out.reads += seen;
    out.undone += unseen.len() as u64;
    out.cases.extend(unseen.into_iter().take(CASES));
    Ok(out)
}

fn count(record: &Record, out: &mut Rounds) {
    for sent in record.sent() {
        match sent.outcome {
            Outcome::Acknowledged(position) => {
                out.acknowledged += 1;
                out.journaled += u64::from(position.is_some());
            }
            Outcome::Refused => out.refused += 1,
            Outcome::Unknown => out.unknown += 1,
        }
    }
}
