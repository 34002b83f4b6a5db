//! Reads the backplane's stream, on a connection of its own to the node that has it.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};

use super::nodes::{Nodes, client_error, in_time, replication};
use super::options::RedisOptions;
use super::shards::slot;
use crate::tier::{Position, Posted, Tail, TierError};

/// Entries taken in one answer, at most.
const ENTRIES_AT_ONCE: usize = 1_000;

/// Reads a stream. After an error it finds the node anew: another may have the stream by now.
#[derive(Debug)]
pub(crate) struct StreamReader {
    nodes: Nodes,
    key: String,
    connection: Option<MultiplexedConnection>,
}

/// An entry as Redis sends it: its id, then names and values in turn.
type Row = (String, Vec<Bytes>);

impl StreamReader {
    pub(crate) const fn new(options: RedisOptions, key: String) -> Self {
        Self { nodes: Nodes::new(options), key, connection: None }
    }

    pub(crate) async fn tail(&mut self) -> Result<Tail, TierError> {
        let mut connection = self.connection().await?;
        let limit = self.nodes.options().connect_timeout;
        let asked = async {
            let part = replication(&mut connection).await?;
            if !part.is_primary {
                return Err(client_error("the stream's node is no primary any more"));
            }
            let mut end = cmd("XREVRANGE");
            end.arg(&self.key).arg("+").arg("-").arg("COUNT").arg(1);
            let end: Vec<Row> = end.query_async(&mut connection).await?;
            let last = end.first().map(|(id, _)| position(id)).transpose()?;
            Ok(Tail { generation: part.history, last: last.unwrap_or_default() })
        };
        let tail = in_time(limit, asked).await?;
        self.connection = Some(connection);
        Ok(tail)
    }

    pub(crate) async fn read(
        &mut self,
        after: Position,
        patience: Duration,
    ) -> Result<Vec<Posted>, TierError> {
        let mut connection = self.connection().await?;
        let mut read = cmd("XREAD");
        read.arg("BLOCK").arg(patience.as_millis().max(1) as u64);
        read.arg("COUNT").arg(ENTRIES_AT_ONCE).arg("STREAMS");
        read.arg(&self.key).arg(after.to_string());
        let limit = patience + self.nodes.options().overall_timeout;
        let answer: Option<Vec<(String, Vec<Row>)>> =
            in_time(limit, read.query_async(&mut connection)).await?;
        let rows = answer.into_iter().flatten().flat_map(|(_key, rows)| rows);
        let entries = rows.map(|row| posted(&row)).collect::<RedisResult<_>>()?;
        self.connection = Some(connection);
        Ok(entries)
    }

    /// The connection to the primary that has the stream. It is put back when it has answered:
    /// one that failed is not used again.
    async fn connection(&mut self) -> RedisResult<MultiplexedConnection> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let (known, ranges) = self.nodes.slots().await?;
        let slot = u16::try_from(slot(&self.key)).expect("there are 16,384 slots");
        let range = ranges.iter().find(|range| range.holds(slot));
        let range = range.ok_or_else(|| client_error("no node has the stream's slot"))?;
        self.nodes.primary(&known, range).await
    }
}

fn posted((id, fields): &Row) -> RedisResult<Posted> {
    let pairs = fields.chunks_exact(2).map(|pair| (&pair[0][..], pair[1].clone()));
    let mut fields: HashMap<&[u8], Bytes> = pairs.collect();
    let mut field = |name: &str| {
        fields.remove(name.as_bytes()).ok_or_else(|| client_error("an entry lacks a field"))
    };
    let before = field("b")?;
    let before = std::str::from_utf8(&before).map_err(|_| client_error("not an entry's id"))?;
    let (at, before) = (position(id)?, position(before)?);
    Ok(Posted { at, before, sender: field("s")?, message: field("m")? })
}

fn position(text: &str) -> RedisResult<Position> {
    text.parse().map_err(|_| client_error("not an entry's id"))
}
