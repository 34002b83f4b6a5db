//! `results.csv`: each run in a line.

use std::path::Path;

use anyhow::{Context, Result};

use super::Run;

/// A column's name, and what is in it.
type Column = (&'static str, fn(&Run) -> String);

const COLUMNS: &[Column] = &[
    ("strategy", |run| run.strategy.clone()),
    ("tiers", |run| run.tiers.clone()),
    ("workload", |run| run.workload.clone()),
    ("replicas", |run| run.replicas.to_string()),
    ("repeat", |run| run.repeat.to_string()),
    ("curve_repeat", |run| run.curve_repeat.to_string()),
    ("ttl_ms", |run| run.ttl_ms.to_string()),
    ("l1_ttl_ms", |run| run.l1_ttl_ms.to_string()),
    ("db_latency_ms", |run| optional(run.db_latency_ms)),
    ("users", |run| run.users.map_or(String::new(), |users| users.to_string())),
    ("requests", |run| run.requests.to_string()),
    ("errors", |run| run.errors.to_string()),
    ("seconds", |run| format!("{:.2}", run.seconds)),
    ("offered_rps", |run| optional(run.offered_rps)),
    ("achieved_rps", |run| format!("{:.1}", run.achieved_rps)),
    ("mean_ms", |run| format!("{:.3}", run.latency_ms.mean)),
    ("p50_ms", |run| format!("{:.3}", run.latency_ms.p50)),
    ("p90_ms", |run| format!("{:.3}", run.latency_ms.p90)),
    ("p99_ms", |run| format!("{:.3}", run.latency_ms.p99)),
    ("p999_ms", |run| format!("{:.3}", run.latency_ms.p999)),
    ("max_ms", |run| format!("{:.3}", run.latency_ms.max)),
    ("db_counted", |run| run.db_queries.counted.to_string()),
    ("db_pg_stat_statements", |run| run.db_queries.pg_stat_statements.to_string()),
    ("db_relay", |run| run.db_queries.relay.to_string()),
    ("db_loads", |run| run.db_queries.loads.to_string()),
    ("db_floor", |run| run.db_queries.floor.map_or(String::new(), |floor| floor.to_string())),
    ("query_efficiency", |run| optional(run.query_efficiency)),
    ("db_rows", |run| run.db_rows.to_string()),
    ("db_connections_peak", |run| run.db_connections.peak.to_string()),
    ("redis_round_trips", |run| run.redis_round_trips.to_string()),
    ("redis_bytes", |run| run.redis_bytes.to_string()),
    ("hit_ratio_l1", |run| optional(run.hit_ratio.l1)),
    ("hit_ratio_l2", |run| optional(run.hit_ratio.l2)),
    ("coalesced_process", |run| run.coalesced.process.to_string()),
    ("coalesced_cluster", |run| run.coalesced.cluster.to_string()),
    ("staleness_p99_ms", |run| optional(run.staleness_ms.p99)),
    ("staleness_max_ms", |run| optional(run.staleness_ms.max)),
    ("stale_reads", |run| run.stale_reads.map_or(String::new(), |reads| reads.to_string())),
    ("sampled_reads", |run| run.sampled_reads.map_or(String::new(), |reads| reads.to_string())),
    ("cpu_api_s", |run| format!("{:.2}", run.cpu_seconds.api)),
    ("cpu_postgres_s", |run| format!("{:.2}", run.cpu_seconds.postgres)),
    ("cpu_redis_s", |run| format!("{:.2}", run.cpu_seconds.redis)),
    ("cpu_generator_s", |run| format!("{:.2}", run.cpu_seconds.generator)),
    ("rss_bytes", |run| run.rss_bytes.to_string()),
    ("l1_bytes", |run| run.memory.l1_bytes.to_string()),
    ("l2_bytes", |run| run.memory.l2_bytes.map_or(String::new(), |bytes| bytes.to_string())),
    ("certified", |run| run.generator.not_certified.is_none().to_string()),
    ("command", |run| run.command.clone().unwrap_or_default()),
];

fn optional(value: Option<f64>) -> String {
    value.map_or(String::new(), |value| format!("{value:.4}"))
}

pub(super) fn write(runs: &[Run], folder: &Path) -> Result<()> {
    let path = folder.join("results.csv");
    let mut csv = csv::Writer::from_path(&path).with_context(|| path.display().to_string())?;
    csv.write_record(COLUMNS.iter().map(|(name, _)| name))?;
    for run in runs {
        csv.write_record(COLUMNS.iter().map(|(_, of)| of(run)))?;
    }
    csv.flush()?;
    Ok(())
}
