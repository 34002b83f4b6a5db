//! Moves slots from one primary to another while the cluster serves: what `redis-cli --cluster reshard`
//! does.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, Value, cmd};
use serde::Serialize;

use crate::error::StackError;

/// How many keys move at once: a node does nothing else meanwhile.
const KEYS_AT_ONCE: usize = 100;
/// How long one node may take to answer.
const ANSWER: Duration = Duration::from_secs(2);
/// How long keys may take on their way, in milliseconds; a node's answer to `MIGRATE` takes at most
/// twice as long.
const ON_THE_WAY: u64 = 5_000;

/// What was moved, and between which nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Resharded {
    /// How many slots.
    pub slots: usize,
    /// How many keys were in them.
    pub keys: usize,
    /// `host:port` of the primary that had them.
    pub from: String,
    /// `host:port` of the one that has them now.
    pub to: String,
}

/// A primary and its slots.
struct Shard {
    id: String,
    host: String,
    port: u16,
    slots: Vec<u16>,
    connection: MultiplexedConnection,
}

/// Moves `slots` slots, with what is in them, from the primary that has the most to the one that has
/// the fewest. Requests go on meanwhile.
///
/// When it ends half-way, clients still find every key; the next call goes on.
///
/// # Errors
///
/// When no node answers, there is only one primary, the primary has fewer slots, or a node refuses.
pub async fn reshard(nodes: &[String], slots: usize) -> Result<Resharded, StackError> {
    let mut shards = shards(nodes).await?;
    shards
        .sort_by(|one, other| other.slots.len().cmp(&one.slots.len()).then(one.id.cmp(&other.id)));
    let refused = |reason: &str| StackError::Reshard { slots, reason: reason.to_owned() };
    let (Some(mut target), Some(mut source)) =
        (shards.pop(), shards.drain(..1.min(shards.len())).next())
    else {
        return Err(refused("the cluster has one primary only"));
    };
    if source.slots.len() < slots {
        let has = source.slots.len();
        return Err(refused(&format!("the primary with the most has {has}")));
    }
    let mut keys = 0;
    let moving: Vec<u16> = source.slots.drain(..slots).collect();
    for slot in moving {
        keys += move_slot(slot, &mut source, &mut target).await?;
        for other in &mut shards {
            // It would hear of it by gossip: this only spares clients a detour.
            let _ = other.ask::<()>(&set_slot(slot, "NODE", &target.id)).await;
        }
    }
    Ok(Resharded { slots, keys, from: source.address(), to: target.address() })
}

/// How many keys were in the slot.
async fn move_slot(slot: u16, source: &mut Shard, target: &mut Shard) -> RedisResult<usize> {
    // In this order: whoever is sent on by the one is let in by the other.
    target.ask::<()>(&set_slot(slot, "IMPORTING", &source.id)).await?;
    source.ask::<()>(&set_slot(slot, "MIGRATING", &target.id)).await?;
    let mut moved = 0;
    loop {
        let mut list = cmd("CLUSTER");
        list.arg("GETKEYSINSLOT").arg(slot).arg(KEYS_AT_ONCE);
        let keys: Vec<Vec<u8>> = source.ask(&list).await?;
        if keys.is_empty() {
            break;
        }
        moved += keys.len();
        let mut migrate = cmd("MIGRATE");
        migrate.arg(&target.host).arg(target.port).arg("").arg(0).arg(ON_THE_WAY);
        migrate.arg("KEYS").arg(keys);
        source.ask_for::<Value>(&migrate, Duration::from_millis(2 * ON_THE_WAY)).await?;
    }
    // The one that has the keys first: the slot is never nobody's.
    let decided = set_slot(slot, "NODE", &target.id);
    target.ask::<()>(&decided).await?;
    source.ask::<()>(&decided).await?;
    Ok(moved)
}

fn set_slot(slot: u16, state: &str, node: &str) -> Cmd {
    let mut set = cmd("CLUSTER");
    set.arg("SETSLOT").arg(slot).arg(state).arg(node);
    set
}

/// Every primary that has slots, as the first node tells it that answers.
async fn shards(nodes: &[String]) -> Result<Vec<Shard>, StackError> {
    let mut last = client_error("no node is known");
    for node in nodes {
        match shards_of(node).await {
            Ok(shards) => return Ok(shards),
            Err(error) => last = error,
        }
    }
    Err(last.into())
}

/// A row of `CLUSTER SLOTS`: the ends, the primary, replicas.
type Row = (u16, u16, (String, u16, String));

async fn shards_of(node: &str) -> RedisResult<Vec<Shard>> {
    let mut connection = connect(node).await?;
    let rows: Vec<Vec<Value>> =
        in_time(ANSWER, cmd("CLUSTER").arg("SLOTS").query_async(&mut connection)).await?;
    let mut found: BTreeMap<String, (String, u16, Vec<u16>)> = BTreeMap::new();
    for row in rows {
        let (first, last, (host, port, id)) = read(row)?;
        found.entry(id).or_insert((host, port, Vec::new())).2.extend(first..=last);
    }
    let mut shards = Vec::new();
    for (id, (host, port, slots)) in found {
        let connection = connect(&format!("redis://{host}:{port}")).await?;
        shards.push(Shard { id, host, port, slots, connection });
    }
    Ok(shards)
}

fn read(row: Vec<Value>) -> RedisResult<Row> {
    let mut row = row.into_iter();
    let (Some(first), Some(last), Some(Value::Array(primary))) =
        (row.next(), row.next(), row.next())
    else {
        return Err(client_error("not a row of CLUSTER SLOTS"));
    };
    let mut primary = primary.into_iter();
    let (Some(host), Some(port), Some(id)) = (primary.next(), primary.next(), primary.next())
    else {
        return Err(client_error("not a node in CLUSTER SLOTS"));
    };
    let node = (
        String::from_redis_value(host)?,
        u16::from_redis_value(port)?,
        String::from_redis_value(id)?,
    );
    Ok((u16::from_redis_value(first)?, u16::from_redis_value(last)?, node))
}

impl Shard {
    fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        self.ask_for(command, ANSWER).await
    }

    async fn ask_for<T: FromRedisValue>(
        &mut self,
        command: &Cmd,
        limit: Duration,
    ) -> RedisResult<T> {
        in_time(limit, command.query_async(&mut self.connection)).await
    }
}

async fn connect(url: &str) -> RedisResult<MultiplexedConnection> {
    // What a question may take is said beside each.
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let client = Client::open(url)?;
    in_time(ANSWER, client.get_multiplexed_async_connection_with_config(&config)).await
}

/// `answer`, unless it takes longer than `limit`.
pub(crate) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let answer = tokio::time::timeout(limit, answer).await;
    answer.unwrap_or_else(|_elapsed| Err(RedisError::from((ErrorKind::Io, "no answer in time"))))
}

fn client_error(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}
