//! A private Redis Cluster, formed without `redis-cli`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisResult, cmd};
use rustix::process::Signal;

use crate::binaries::Binaries;
use crate::error::StackError;
use crate::ports::{BUS_OFFSET, require_free};
use crate::process::{Identity, log_file, pid_file, spawn, tail};
use crate::reshard::in_time;
use crate::topology::{SLOTS, Topology};
use crate::user::RunAs;

/// How long nodes and their agreement may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// The variable that moves the ports of a stack's only or first cluster.
pub(crate) const PORT_VARIABLE: &str = "LARDER_STACK_REDIS_PORT";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(2);

/// What the promises rest on, in containers too.
const SETTINGS: &str = include_str!("../../../deploy/redis/redis.conf");

/// A Redis Cluster that this library started. Nodes are numbered from 0, primaries first.
#[derive(Debug)]
pub struct RedisCluster {
    folder: PathBuf,
    topology: Topology,
    base_port: u16,
    /// The variable that moves its ports.
    port_variable: &'static str,
    throw_away: bool,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    port: u16,
    folder: PathBuf,
    identity: Identity,
}

impl RedisCluster {
    /// Starts what does not run, forms the cluster where it is not formed, and returns when
    /// all slots are served and all replicas are linked.
    ///
    /// # Errors
    ///
    /// When the program is missing, a port is taken, or the nodes do not come to agree.
    pub async fn start(
        folder: &Path,
        topology: Topology,
        base_port: u16,
        throw_away: bool,
    ) -> Result<Self, StackError> {
        Self::start_as(folder, topology, base_port, PORT_VARIABLE, throw_away).await
    }

    /// The same, where `port_variable` is what moves the ports.
    pub(crate) async fn start_as(
        folder: &Path,
        topology: Topology,
        base_port: u16,
        port_variable: &'static str,
        throw_away: bool,
    ) -> Result<Self, StackError> {
        let mut nodes = Vec::with_capacity(topology.nodes());
        for index in 0..topology.nodes() {
            let offset = u16::try_from(index).expect("a handful of nodes");
            let folder = folder.join(format!("node-{index}"));
            nodes.push(start_node(folder, base_port + offset, port_variable, throw_away)?);
        }
        let folder = folder.to_owned();
        let cluster = Self { folder, topology, base_port, port_variable, throw_away, nodes };
        for node in &cluster.nodes {
            node.wait_until("it answers", async || node.ask::<String>(&cmd("PING")).await.is_ok())
                .await?;
        }
        if !cluster.is_formed().await {
            cluster.form().await?;
        }
        Ok(cluster)
    }

    /// The one in `folder`, with the nodes that run.
    pub(crate) fn attach(folder: &Path, topology: Topology, base_port: u16) -> Self {
        let nodes = (0..topology.nodes())
            .filter_map(|index| {
                let folder = folder.join(format!("node-{index}"));
                let identity = Identity::load(&pid_file(&folder)).filter(Identity::is_alive)?;
                let port = base_port + u16::try_from(index).expect("a handful of nodes");
                Some(Node { port, folder, identity })
            })
            .collect();
        let folder = folder.to_owned();
        let port_variable = PORT_VARIABLE;
        Self { folder, topology, base_port, port_variable, throw_away: false, nodes }
    }

    /// `redis://host:port` of every node.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Node::url).collect()
    }

    /// Process ids of the nodes.
    #[must_use]
    pub fn pids(&self) -> Vec<i32> {
        self.nodes.iter().map(|node| node.identity.pid).collect()
    }

    /// Stops every node.
    pub fn stop(&self) {
        for node in &self.nodes {
            node.identity.signal(Signal::TERM);
        }
        for node in &self.nodes {
            node.identity.stop(Signal::TERM, Duration::from_secs(5));
            let _ = std::fs::remove_file(pid_file(&node.folder));
        }
    }

    /// Starts the nodes again, on the same ports, empty, and waits until they serve.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), StackError> {
        let (folder, variable) = (&self.folder, self.port_variable);
        *self = Self::start_as(folder, self.topology, self.base_port, variable, self.throw_away)
            .await?;
        Ok(())
    }

    /// Ends node `index` as a crash would.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn kill(&self, index: usize) {
        self.nodes[index].identity.stop(Signal::KILL, Duration::from_secs(5));
    }

    /// Starts node `index` again after it was killed, empty, and waits until all slots are served
    /// and all replicas are linked. Where a replica has taken over from it meanwhile it becomes that
    /// one's replica; before, it would be a primary that has lost everything.
    ///
    /// # Errors
    ///
    /// When it does not come up, or the nodes do not come to agree.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub async fn revive(&mut self, index: usize) -> Result<(), StackError> {
        let Node { port, folder, .. } = &self.nodes[index];
        let node = start_node(folder.clone(), *port, self.port_variable, self.throw_away)?;
        self.nodes[index] = node;
        self.nodes[index].wait_until("the cluster is whole", || self.is_formed()).await
    }

    /// The nodes that say of themselves, at present, that they are primaries.
    pub async fn primaries(&self) -> Vec<usize> {
        let mut primaries = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let role = node.ask::<String>(cmd("INFO").arg("replication")).await;
            if role.is_ok_and(|text| text.contains("role:master")) {
                primaries.push(index);
            }
        }
        primaries
    }

    /// Freezes node `index`: its sockets stay open, nothing answers.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn freeze(&self, index: usize) {
        self.nodes[index].identity.signal(Signal::STOP);
    }

    /// Lets a frozen node go on.
    ///
    /// # Panics
    ///
    /// When there is no such node.
    pub fn thaw(&self, index: usize) {
        self.nodes[index].identity.signal(Signal::CONT);
    }

    /// Whether every node sees all slots served by every member, and replicas are linked.
    pub(crate) async fn is_formed(&self) -> bool {
        if self.nodes.len() != self.topology.nodes() {
            return false;
        }
        let mut roles = Vec::new();
        for node in &self.nodes {
            let Ok(info) = node.ask::<String>(cmd("CLUSTER").arg("INFO")).await else {
                return false;
            };
            let known = format!("cluster_known_nodes:{}\r", self.nodes.len());
            let slots = format!("cluster_slots_ok:{SLOTS}\r");
            if !["cluster_state:ok\r", &slots, &known].iter().all(|line| info.contains(line)) {
                return false;
            }
            // Gossip brings the roles later than the slots: a client that learned the cluster
            // from this node would take replicas for primaries.
            let Ok(members) = node.ask::<String>(cmd("CLUSTER").arg("NODES")).await else {
                return false;
            };
            let replicas = self.nodes.len() - self.topology.primaries();
            if members.lines().filter(|line| line.contains("slave")).count() != replicas {
                return false;
            }
            let Ok(replication) = node.ask::<String>(cmd("INFO").arg("replication")).await else {
                return false;
            };
            if replication.contains("master_link_status:down") {
                return false;
            }
            roles.push(replication.contains("role:master"));
        }
        roles.iter().filter(|&&primary| primary).count() == self.topology.primaries()
    }

    /// What `redis-cli --cluster create` does, for any number of primaries.
    async fn form(&self) -> Result<(), StackError> {
        for node in &self.nodes {
            // Nothing to flush on a replica, and nothing that must be kept anywhere: the
            // cluster holds a cache.
            let _ = node.ask::<()>(&cmd("FLUSHALL")).await;
            node.ask::<()>(cmd("CLUSTER").arg("RESET").arg("HARD")).await?;
        }
        let primaries = self.topology.primaries();
        for (index, node) in self.nodes.iter().enumerate() {
            // Distinct epochs at the start save the nodes an argument later.
            node.ask::<()>(cmd("CLUSTER").arg("SET-CONFIG-EPOCH").arg(index + 1)).await?;
            if index < primaries {
                let (first, last) = self.topology.slots(index);
                node.ask::<()>(cmd("CLUSTER").arg("ADDSLOTSRANGE").arg(first).arg(last)).await?;
            }
        }
        for node in &self.nodes[1..] {
            let meet = cmd("CLUSTER").arg("MEET").arg("127.0.0.1").arg(node.port).clone();
            self.nodes[0].ask::<()>(&meet).await?;
        }
        let members = self.nodes.len();
        for node in &self.nodes {
            node.wait_until("it knows all members", async || {
                let nodes = node.ask::<String>(cmd("CLUSTER").arg("NODES")).await;
                nodes.is_ok_and(|text| {
                    let ids: BTreeSet<&str> =
                        text.lines().filter_map(|line| line.split(' ').next()).collect();
                    ids.len() == members && !text.contains("handshake")
                })
            })
            .await?;
        }
        for (index, node) in self.nodes.iter().enumerate().skip(primaries) {
            let primary: String =
                self.nodes[index % primaries].ask(cmd("CLUSTER").arg("MYID")).await?;
            node.ask::<()>(cmd("CLUSTER").arg("REPLICATE").arg(primary)).await?;
        }
        self.nodes[0].wait_until("the cluster is formed", async || self.is_formed().await).await
    }
}

impl Node {
    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let client = redis::Client::open(self.url())?;
        let mut connection: MultiplexedConnection =
            in_time(ANSWER, client.get_multiplexed_async_connection()).await?;
        in_time(ANSWER, command.query_async(&mut connection)).await
    }

    async fn wait_until(
        &self,
        what: &str,
        holds: impl AsyncFn() -> bool,
    ) -> Result<(), StackError> {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            if !self.identity.is_alive() || Instant::now() > deadline {
                let _ = std::fs::remove_file(pid_file(&self.folder));
                return Err(StackError::NotReady {
                    server: format!("redis on port {}", self.port),
                    reason: format!("waited in vain until {what}"),
                    log: tail(&log_file(&self.folder), 15),
                });
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Ok(())
    }
}

/// The node in `folder` as it runs, or a new process for it.
fn start_node(
    folder: PathBuf,
    port: u16,
    port_variable: &'static str,
    throw_away: bool,
) -> Result<Node, StackError> {
    std::fs::create_dir_all(&folder).map_err(StackError::file(&folder))?;
    if let Some(identity) = Identity::load(&pid_file(&folder)).filter(Identity::is_alive) {
        return Ok(Node { port, folder, identity });
    }
    require_free(port, "Redis", port_variable)?;
    require_free(port + BUS_OFFSET, "Redis cluster bus", port_variable)?;
    let program = Binaries::find()?.redis;
    let mut command: Command = RunAs::Caller.command(&program, throw_away.then_some("KILL"));
    command
        .arg("--port")
        .arg(port.to_string())
        .arg("--dir")
        .arg(&folder)
        .args(["--bind", "127.0.0.1"]);
    for setting in SETTINGS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, value) = setting.split_once(' ').expect("every setting has a value");
        command.arg(format!("--{name}")).arg(value.trim_matches('"'));
    }
    let identity = spawn(command, &log_file(&folder))?;
    identity.save(&pid_file(&folder))?;
    Ok(Node { port, folder, identity })
}
