//! What the Redis nodes say of themselves.

use anyhow::{Context, Result};
use redis::aio::MultiplexedConnection;

use crate::bed::Bed;

/// Keys that are looked at, and deleted, at once.
const BATCH: usize = 1_000;

/// One node at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisNode {
    /// `redis-` and its port.
    pub name: String,
    /// Its process.
    pub pid: i32,
    /// Whether it is a primary.
    pub primary: bool,
    /// Bytes that its data takes.
    pub used_bytes: u64,
    /// Bytes that clients have sent and been sent, without replication.
    pub client_bytes: u64,
}

/// Asks every node of `bed` that answers.
///
/// # Errors
///
/// When none does, or one is no Redis.
pub async fn redis_nodes(bed: &Bed) -> Result<Vec<RedisNode>> {
    let mut nodes = Vec::new();
    for url in bed.redis_nodes().split(',') {
        let Ok(mut connection) = connect(url).await else { continue };
        let info: String = redis::cmd("INFO").query_async(&mut connection).await?;
        let port = url.rsplit(':').next().unwrap_or_default();
        nodes.push(RedisNode::of(format!("redis-{port}"), &info).with_context(|| url.to_owned())?);
    }
    anyhow::ensure!(!nodes.is_empty(), "no Redis node answers: {}", bed.redis_nodes());
    Ok(nodes)
}

/// Deletes the entries of a cache environment: what one run has filled is not to take memory in
/// the next.
///
/// # Errors
///
/// When a primary does not answer.
pub async fn forget_environment(bed: &Bed, environment: &str) -> Result<()> {
    for url in bed.redis_nodes().split(',') {
        let Ok(mut connection) = connect(url).await else { continue };
        let info: String =
            redis::cmd("INFO").arg("replication").query_async(&mut connection).await?;
        if !info.contains("role:master") {
            continue;
        }
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{environment}:*"))
                .arg("COUNT")
                .arg(BATCH)
                .query_async(&mut connection)
                .await?;
            // One at a time in a pipeline: they are in different slots.
            let mut deletions = redis::pipe();
            for key in &keys {
                deletions.cmd("UNLINK").arg(key).ignore();
            }
            if !keys.is_empty() {
                let () = deletions.query_async(&mut connection).await?;
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    Ok(())
}

async fn connect(url: &str) -> redis::RedisResult<MultiplexedConnection> {
    redis::Client::open(url)?.get_multiplexed_async_connection().await
}

impl RedisNode {
    fn of(name: String, info: &str) -> Result<Self> {
        let field = |field: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            line.map(str::trim).with_context(|| format!("INFO has no {field}"))
        };
        let bytes = |name: &str| -> Result<u64> { field(name)?.parse().context("INFO") };
        // Redis 7 counts replication apart and includes it.
        let replication = |name: &str| bytes(name).unwrap_or(0);
        let client = bytes("total_net_input_bytes")? + bytes("total_net_output_bytes")?;
        let other =
            replication("total_net_repl_input_bytes") + replication("total_net_repl_output_bytes");
        Ok(Self {
            name,
            pid: field("process_id")?.parse().context("INFO process_id")?,
            primary: field("role")? == "master",
            used_bytes: bytes("used_memory")?,
            client_bytes: client.saturating_sub(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_out_of_what_it_tells() {
        let info = "# Server\r\nprocess_id:42\r\nused_memory:1000\r\nused_memory_human:1K\r\n\
                    role:master\r\ntotal_net_input_bytes:70\r\ntotal_net_output_bytes:50\r\n\
                    total_net_repl_output_bytes:20\r\n";
        let node = RedisNode::of("redis-1".into(), info).expect("reads");
        assert_eq!(
            (node.pid, node.primary, node.used_bytes, node.client_bytes),
            (42, true, 1_000, 100)
        );
        let missing = RedisNode::of("redis-1".into(), "role:slave\r\n").expect_err("lacks");
        assert!(missing.to_string().contains("INFO has no"), "{missing}");
    }
}
