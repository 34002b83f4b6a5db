//! A stream that keeps writes on every replica of a shard before they are acknowledged.

use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, Script, Value, cmd, pipe};

use super::nodes::{Nodes, client_error, in_time};
use super::options::RedisOptions;
use super::shards::slot;
use crate::tier::{Position, TierError};

/// How long an append waits for the replicas.
const PATIENCE: Duration = Duration::from_millis(500);

/// A write in a [`Lane`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneEntry {
    /// Its own in all processes.
    pub id: u64,
    /// What it says.
    pub body: Bytes,
}

/// One stream, on a connection of its own to the primary that has it: `WAIT` blocks whoever shares it.
///
/// **An append that has answered is on every replica that was online**, and on `min_replicas` at least.
///
/// | event | what was acknowledged |
/// | --- | --- |
/// | any client crashes | is there |
/// | the primary is killed, and a replica that was online takes over | is there |
/// | the primary is frozen or cut off, and goes on taking writes | nothing more is acknowledged by it |
/// | all nodes of the shard at once | **is lost**: Redis keeps no copy on disk here |
/// | a replica that was not online is promoted (by hand) | **can be lost** |
///
/// An append that fails may have been taken or not, and its entries may go again or stay: a replica
/// that takes over may lack them.
#[derive(Debug)]
pub struct Lane {
    pub(super) nodes: Nodes,
    pub(super) key: String,
    min_replicas: usize,
    pub(super) link: Option<Link>,
}

#[derive(Debug)]
pub(super) struct Link {
    pub(super) connection: MultiplexedConnection,
    /// Replicas that were online when that was told last.
    online: usize,
}

impl Lane {
    /// The stream `key` of the cluster.
    #[must_use]
    pub const fn new(options: RedisOptions, key: String, min_replicas: usize) -> Self {
        Self { nodes: Nodes::new(options), key, min_replicas, link: None }
    }

    /// Appends `entries` in their order, in one round trip, and waits until every replica that is
    /// online has them.
    ///
    /// # Errors
    ///
    /// When the shard has too few replicas, and nothing was appended then; or when it does not answer,
    /// or a replica is not quick enough, and then it is not known.
    pub async fn append(&mut self, entries: &[LaneEntry]) -> Result<Vec<Position>, TierError> {
        let mut link = self.link().await?;
        if !self.has_replicas(&link) {
            // Asked anew the next time.
            return Err(client_error("the shard has too few replicas").into());
        }
        let mut pipeline = pipe();
        for entry in entries {
            let add = pipeline.cmd("XADD").arg(&self.key).arg("*");
            add.arg("i").arg(entry.id).arg("b").arg(&entry.body[..]);
        }
        pipeline.cmd("WAIT").arg(link.online).arg(PATIENCE.as_millis() as u64);
        pipeline.cmd("INFO").arg("replication");
        let limit = PATIENCE + self.nodes.options().overall_timeout;
        let sent = pipeline.query_async::<Vec<Value>>(&mut link.connection);
        let mut answers = in_time(limit, sent).await?;
        let (info, waited) = (answers.pop(), answers.pop());
        let (Some(info), Some(waited)) = (info, waited) else {
            return Err(client_error("no answer to WAIT").into());
        };
        let waited = read::<usize>(waited)?;
        link.online = online(&read::<String>(info)?);
        let all = link.online.max(self.min_replicas);
        if waited < all {
            // One came online meanwhile, or one is slow.
            self.replicated(&mut link).await?;
        }
        let positions = answers.into_iter().map(|id| position(&read::<String>(id)?));
        let positions = positions.collect::<RedisResult<Vec<_>>>()?;
        self.link = Some(link);
        Ok(positions)
    }

    pub(super) const fn has_replicas(&self, link: &Link) -> bool {
        link.online >= self.min_replicas
    }

    /// Waits until every replica that is online has all that was written on `link` so far.
    pub(super) async fn replicated(&self, link: &mut Link) -> RedisResult<()> {
        let all = link.online.max(self.min_replicas);
        let mut wait = cmd("WAIT");
        wait.arg(all).arg(PATIENCE.as_millis() as u64);
        let limit = PATIENCE + self.limit();
        if in_time(limit, wait.query_async::<usize>(&mut link.connection)).await? < all {
            return Err(client_error("not every replica has the entries"));
        }
        Ok(())
    }

    /// The oldest entries after `after`, at most `most`.
    ///
    /// # Errors
    ///
    /// When the shard does not answer.
    pub async fn read(
        &mut self,
        after: Position,
        most: usize,
    ) -> Result<Vec<(Position, LaneEntry)>, TierError> {
        let mut link = self.link().await?;
        let mut range = cmd("XRANGE");
        range.arg(&self.key).arg(format!("({after}")).arg("+").arg("COUNT").arg(most);
        let rows: Vec<(String, Vec<Bytes>)> =
            in_time(self.limit(), range.query_async(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(rows.iter().map(entry).collect::<RedisResult<_>>()?)
    }

    /// Takes entries off that were applied. One whose place another has taken by now, after a
    /// failover, stays. How many there were.
    ///
    /// # Errors
    ///
    /// When the shard does not answer.
    pub async fn take_off(&mut self, entries: &[(Position, u64)]) -> Result<usize, TierError> {
        let mut link = self.link().await?;
        let script = Script::new(include_str!("take_off.lua"));
        let mut call = script.key(&self.key);
        call.key(self.tries());
        for (at, id) in entries {
            call.arg(at.to_string()).arg(*id);
        }
        let gone = in_time(self.limit(), call.invoke_async(&mut link.connection)).await?;
        self.link = Some(link);
        Ok(gone)
    }

    pub(super) fn limit(&self) -> Duration {
        self.nodes.options().overall_timeout
    }

    /// The connection to the primary that has the stream. It is put back when it has answered: one
    /// that failed is not used again, for another node may have the stream by now.
    pub(super) async fn link(&mut self) -> RedisResult<Link> {
        if let Some(link) = self.link.take() {
            return Ok(link);
        }
        let (known, ranges) = self.nodes.slots().await?;
        let slot = u16::try_from(slot(&self.key)).expect("there are 16,384 slots");
        let range = ranges.iter().find(|range| range.holds(slot));
        let range = range.ok_or_else(|| client_error("no node has the stream's slot"))?;
        let mut connection = self.nodes.primary(&known, range).await?;
        let mut info = cmd("INFO");
        let asked = info.arg("replication").query_async::<String>(&mut connection);
        let online = online(&in_time(self.limit(), asked).await?);
        Ok(Link { connection, online })
    }
}

/// How many replicas a primary has that have its data and follow it.
fn online(info: &str) -> usize {
    let is_one = |line: &&str| line.starts_with("slave") && line.contains("state=online");
    info.lines().filter(is_one).count()
}

pub(super) fn entry((id, fields): &(String, Vec<Bytes>)) -> RedisResult<(Position, LaneEntry)> {
    let [_, id_of_write, _, body] = &fields[..] else {
        return Err(client_error("an entry lacks a field"));
    };
    let id_of_write = std::str::from_utf8(id_of_write).ok().and_then(|id| id.parse().ok());
    let id_of_write = id_of_write.ok_or_else(|| client_error("not a write's id"))?;
    Ok((position(id)?, LaneEntry { id: id_of_write, body: body.clone() }))
}

pub(super) fn position(text: &str) -> RedisResult<Position> {
    text.parse().map_err(|_| client_error("not an entry's id"))
}

pub(super) fn read<T: FromRedisValue>(value: Value) -> RedisResult<T> {
    Ok(T::from_redis_value(value)?)
}
