//! What a measurement ran on.

use anyhow::Result;
use sqlx::{Connection, PgConnection};

use crate::bed::Bed;
use crate::results::Machine;

/// Asks the operating system and the servers.
///
/// # Errors
///
/// When a server does not answer.
pub async fn machine(bed: &Bed) -> Result<Machine> {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim().to_owned())
    };
    let unknown = || "unknown".to_owned();
    let memory = field(&read("/proc/meminfo"), "MemTotal")
        .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(Machine {
        cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: memory.unwrap_or(0) * 1_024,
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        postgres: postgres_version(bed.admin_url()).await?,
        redis: redis_version(bed).await?,
        larder: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

async fn postgres_version(admin_url: &str) -> Result<String> {
    let mut connection = PgConnection::connect(admin_url).await?;
    let version: String =
        sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(format!("PostgreSQL {version}"))
}

async fn redis_version(bed: &Bed) -> Result<String> {
    let node = bed.redis_nodes().split(',').next().unwrap_or_default();
    let mut connection = redis::Client::open(node)?.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
    let of = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|version| version.trim().to_owned())
    };
    // Valkey also tells the Redis version that it is compatible with.
    let valkey = of("valkey_version").map(|version| format!("Valkey {version}"));
    let redis = || of("redis_version").map(|version| format!("Redis {version}"));
    Ok(valkey.or_else(redis).unwrap_or_else(|| "unknown".to_owned()))
}
