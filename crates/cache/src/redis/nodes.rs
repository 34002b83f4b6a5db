//! Single nodes of the cluster, asked by connections that nobody shares.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, RedisResult, cmd};
use tokio::time::timeout;

use super::options::{RedisOptions, at};
use super::shards::SlotRange;

/// Finds the nodes that have the slots, and connects to them.
#[derive(Debug)]
pub(crate) struct Nodes {
    options: RedisOptions,
    /// Of the options' nodes, the one that answered last.
    good: usize,
}

/// Asks all primaries, each on a connection that is kept for the next question.
#[derive(Debug)]
pub(crate) struct Primaries {
    nodes: Nodes,
    connections: HashMap<String, MultiplexedConnection>,
}

/// What a primary has answered.
pub(crate) struct Answer<T> {
    /// The id of the node.
    primary: String,
    /// Where it is reached, as `host:port`.
    pub(crate) address: String,
    pub(crate) told: T,
}

/// Which history each shard has: another one after a promotion or a restart of its primary.
#[derive(Debug)]
pub(crate) struct Histories(Primaries);

/// What a node says of its part in replication.
pub(crate) struct Replication {
    pub(crate) is_primary: bool,
    /// Names its history.
    pub(crate) history: String,
}

impl Nodes {
    pub(crate) const fn new(options: RedisOptions) -> Self {
        Self { options, good: 0 }
    }

    pub(crate) const fn options(&self) -> &RedisOptions {
        &self.options
    }

    /// Asks one node after the other until one tells who has which slots; its URL, and that.
    pub(crate) async fn slots(&mut self) -> RedisResult<(String, Vec<SlotRange>)> {
        let mut last = client_error("no node is known");
        for turn in 0..self.options.nodes.len() {
            let index = (self.good + turn) % self.options.nodes.len();
            let node = self.options.nodes[index].clone();
            let asked = async {
                let mut connection = self.connect(self.options.client_of(&node)?).await?;
                cmd("CLUSTER").arg("SLOTS").query_async(&mut connection).await
            };
            match in_time(self.options.connect_timeout, asked).await {
                Ok(ranges) => {
                    self.good = index;
                    return Ok((node, ranges));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Connects to the primary of `range`, of which the node `known` has told.
    pub(crate) async fn primary(
        &self,
        known: &str,
        range: &SlotRange,
    ) -> RedisResult<MultiplexedConnection> {
        let client = self.options.client_at(known, range.address())?;
        in_time(self.options.connect_timeout, self.connect(client)).await
    }

    async fn connect(&self, client: redis::Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.options.connect_timeout))
            // Each question has a deadline of its own: some wait for what is not there yet.
            .set_response_timeout(None);
        client.get_multiplexed_async_connection_with_config(&config).await
    }
}

impl Primaries {
    pub(crate) fn new(options: RedisOptions) -> Self {
        Self { nodes: Nodes::new(options), connections: HashMap::new() }
    }

    /// Asks `question` of every primary at once; what those say that answer in time.
    pub(crate) async fn ask<T, F>(
        &mut self,
        question: impl Fn(MultiplexedConnection) -> F,
    ) -> Vec<Answer<T>>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let Ok((known, ranges)) = self.nodes.slots().await else { return Vec::new() };
        let mut before = std::mem::take(&mut self.connections);
        let mut primaries: Vec<(&SlotRange, Option<MultiplexedConnection>)> = Vec::new();
        for range in &ranges {
            if primaries.iter().all(|(one, _)| one.primary() != range.primary()) {
                primaries.push((range, before.remove(range.primary())));
            }
        }
        let asked = primaries.into_iter().map(async |(range, connection)| {
            let connection = match connection {
                Some(connection) => connection,
                None => self.nodes.primary(&known, range).await.ok()?,
            };
            let asked = question(connection.clone());
            let told = in_time(self.nodes.options.overall_timeout, asked).await.ok()?;
            let primary = range.primary().to_owned();
            let address = at(&known, range.address()).ok()?.addr().to_string();
            Some((Answer { primary, address, told }, connection))
        });
        let told: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
        let answers = told.into_iter().map(|(answer, connection)| {
            self.connections.insert(answer.primary.clone(), connection);
            answer
        });
        answers.collect()
    }
}

impl Histories {
    pub(crate) fn new(options: RedisOptions) -> Self {
        Self(Primaries::new(options))
    }

    /// For each shard whose primary answers, that one's id and what names its history.
    pub(crate) async fn ask(&mut self) -> Vec<(String, String)> {
        let question = |mut connection| async move { replication(&mut connection).await };
        let told = self.0.ask(question).await.into_iter();
        // One that has become a replica since says nothing of the shard.
        told.filter(|answer| answer.told.is_primary)
            .map(|answer| (answer.primary, answer.told.history))
            .collect()
    }
}

/// Asks a node for its part in replication.
pub(crate) async fn replication(
    connection: &mut MultiplexedConnection,
) -> RedisResult<Replication> {
    let info: String = cmd("INFO").arg("replication").query_async(connection).await?;
    let history = line(&info, "master_replid").unwrap_or_default().to_owned();
    Ok(Replication { is_primary: line(&info, "role") == Some("master"), history })
}

/// The value of the field `name` in an answer to `INFO`.
pub(crate) fn line<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
}

/// `answer`, unless it takes longer than `limit`.
pub(crate) async fn in_time<T>(
    limit: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    let answer = timeout(limit, answer).await;
    answer.unwrap_or_else(|_elapsed| Err(client_error("a node did not answer in time")))
}

pub(crate) fn client_error(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::Client, what))
}
