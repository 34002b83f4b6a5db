//! One step: processes with its settings, and the two loads.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::outcome::{Phase, StepResult};
use super::scenario::{Guide, Settings, Step, number, ttl, word};
use super::traffic::{Ground, Part};
use crate::bed::{ApiSettings, Bed, Replicas};
use crate::load::{Request, Sent, Spread, in_order, open_loop};
use crate::measure::{Labels, Measured, Writes, fewest_loads, forget_environment, measured_by};

/// Settings that an [`ApiSettings`] has fields for.
const OF_THEIR_OWN: [&str; 4] = ["strategy", "tiers", "ttl_ms", "l1_ttl_ms"];
/// `larder.toml`'s default.
const L1_TTL_MS: f64 = 60_000.0;
/// Requests at once while each product is asked for once.
const FILLING: usize = 64;

/// Runs `step` under `settings`: its figures, and the sequence of its fill and its calm load.
pub(super) async fn measure_step(
    bed: &Bed,
    guide: &Guide,
    ground: &Ground,
    step: &Step,
    settings: Settings,
) -> Result<(StepResult, Vec<Sent>)> {
    let api = api_settings(guide, &settings, bed.admin_url());
    let replicas = Replicas::start(bed, api, guide.run.replicas, Spread::RoundRobin).await?;
    let each: Arc<[Request]> = ground.each(guide).into();
    let fill = in_order(replicas.targets(), FILLING, each);
    let fill = agreed(measured_by(bed, replicas.apis(), Labels::default(), fill).await?)?;

    let schedule = ground.schedule(guide, Part::Calm)?;
    let connections = guide.traffic.connections;
    let load = open_loop(replicas.targets(), connections, schedule.due, schedule.requests);
    let calm = agreed(measured_by(bed, replicas.apis(), Labels::default(), load).await?)?;
    let writes = Writes::of(word(&settings, "strategy"));
    let floor =
        fewest_loads(&fill.sent, &calm.sent, &ground.dependents, Some(ttl(&settings)), writes);

    let schedule = ground.schedule(guide, Part::Outage)?;
    let proxy = bed.database_proxy().context("the guide has put a proxy before Postgres")?;
    let load = async {
        let load = open_loop(replicas.targets(), connections, schedule.due, schedule.requests);
        let cut = async {
            sleep(Duration::from_secs_f64(guide.run.cut_after_seconds)).await;
            proxy.cut();
            sleep(Duration::from_secs_f64(guide.run.cut_seconds)).await;
            proxy.mend();
        };
        tokio::join!(load, cut).0
    };
    let outage = agreed(measured_by(bed, replicas.apis(), Labels::default(), load).await?)?;

    let environment = replicas.environment().to_owned();
    replicas.stop().await;
    forget_environment(bed, &environment).await?;
    let result = StepResult {
        name: step.name.clone(),
        settings: settings.iter().map(|(key, value)| (key.clone(), value.to_string())).collect(),
        fill_loads: fill.run.db_queries.loads,
        calm: Phase::of(&calm, Some(floor)),
        outage: Phase::of(&outage, None),
    };
    let mut sequence = fill.sent;
    sequence.extend(calm.sent);
    Ok((result, sequence))
}

/// What the document would say is said twice, or not at all.
fn agreed(measured: Measured) -> Result<Measured> {
    let queries = &measured.run.db_queries;
    ensure!(queries.agree(), "the counts of statements disagree: {}", queries.both());
    Ok(measured)
}

fn api_settings(guide: &Guide, settings: &Settings, admin_url: &str) -> ApiSettings {
    let mut more = vec![("LARDER__VERIFY__SAMPLE".to_owned(), guide.run.sample.to_string())];
    for (key, value) in settings.iter().filter(|(key, _)| !OF_THEIR_OWN.contains(&key.as_str())) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        for namespace in ["PRODUCT_PAGE", "PRODUCT_SUMMARY"] {
            let name = format!("LARDER__NAMESPACES__{namespace}__{}", key.to_uppercase());
            more.push((name, value.clone()));
        }
    }
    ApiSettings {
        strategy: word(settings, "strategy").to_owned(),
        tiers: word(settings, "tiers").to_owned(),
        ttl_ms: ttl(settings).as_millis() as u64,
        l1_ttl_ms: number(settings, "l1_ttl_ms", L1_TTL_MS) as u64,
        admin_url: admin_url.to_owned(),
        more,
        ..ApiSettings::default()
    }
}

impl Phase {
    fn of(measured: &Measured, floor: Option<u64>) -> Self {
        let run = measured.run.clone().with_floor(floor);
        let reads = measured.sent.iter().filter(|sent| sent.ok && !sent.write).count() as u64;
        Self {
            requests: run.requests,
            errors: run.errors,
            reads,
            waited: reads.saturating_sub(run.hits),
            stale_answers: run.stale_answers,
            db_queries: run.db_queries,
            busiest: run.db_busiest,
            p50_ms: run.latency_ms.p50,
            p99_ms: run.latency_ms.p99,
            redis_round_trips: run.redis_round_trips,
            sampled_reads: run.sampled_reads.unwrap_or(0),
            stale_reads: run.stale_reads.unwrap_or(0),
            staleness_ms: run.staleness_ms,
            not_certified: run.generator.not_certified,
        }
    }
}
