//! The whole stack: up, down, status.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env_file;
use crate::error::StackError;
use crate::postgres::{Postgres, PostgresOptions};
use crate::process::{log_file, running};
use crate::redis_cluster::{PORT_VARIABLE, RedisCluster};
use crate::service::Service;
use crate::topology::Topology;

/// The variable that moves the ports of the second region's cluster.
const SECOND_PORT_VARIABLE: &str = "LARDER_STACK_REDIS2_PORT";
/// How far above the first region's ports the second one's are, unless they are set.
const REGION_OFFSET: u16 = 100;

/// Where a stack lives and listens.
#[derive(Clone, Debug)]
pub struct StackOptions {
    /// Everything it keeps on disk.
    pub state_dir: PathBuf,
    /// The shape of the Redis Cluster.
    pub topology: Topology,
    /// Postgres's port.
    pub postgres_port: u16,
    /// The first Redis node's port; the others follow.
    pub redis_base_port: u16,
    /// The same of the second region's cluster; `None`: there is one region.
    pub second_redis_base_port: Option<u16>,
}

/// How to reach a running stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StackInfo {
    /// The application's role.
    pub database_url: String,
    /// The change feed's role.
    pub database_feed_url: String,
    /// The superuser.
    pub database_admin_url: String,
    /// `redis://host:port` of every node, for each region.
    pub redis_nodes: Vec<Vec<String>>,
}

/// One server or service of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Its name: `postgres`, `redis-0`, or the service's own.
    pub name: String,
    /// Its process, while it runs.
    pub pid: Option<i32>,
    /// When that was started, in seconds of Unix time.
    pub started_at: Option<u64>,
    /// Where its log is.
    pub log: PathBuf,
}

/// A stack in a state directory.
#[derive(Clone, Debug)]
pub struct Stack {
    options: StackOptions,
}

/// What `up` was called with: `down` and `status` need to know.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    topology: String,
    postgres_port: u16,
    redis_base_port: u16,
    /// Not in the records of stacks that could have one region only.
    #[serde(default)]
    second_redis_base_port: Option<u16>,
}

/// The Redis Cluster of one region.
struct Region {
    /// Of its folder, and of its servers in [`Stack::status`].
    name: &'static str,
    base_port: u16,
    port_variable: &'static str,
    /// The key of its nodes in `env`.
    env_key: &'static str,
}

impl StackOptions {
    /// The usual ports and topology in `state_dir`.
    #[must_use]
    pub fn new(state_dir: impl Into<PathBuf>) -> Self {
        Self {
            state_dir: state_dir.into(),
            topology: Topology::default(),
            postgres_port: 15_432,
            redis_base_port: 7_000,
            second_redis_base_port: None,
        }
    }

    /// The same with a second region, whose cluster's ports begin at `base_port` (`None`: 100
    /// above the first one's).
    #[must_use]
    pub fn with_second_region(mut self, base_port: Option<u16>) -> Self {
        let above = self.redis_base_port.saturating_add(REGION_OFFSET);
        self.second_redis_base_port = Some(base_port.unwrap_or(above));
        self
    }

    fn regions(&self) -> Vec<Region> {
        let first = Region {
            name: "redis",
            base_port: self.redis_base_port,
            port_variable: PORT_VARIABLE,
            env_key: "REDIS_NODES",
        };
        let second = self.second_redis_base_port.map(|base_port| Region {
            name: "redis-2",
            base_port,
            port_variable: SECOND_PORT_VARIABLE,
            env_key: "REDIS_NODES_2",
        });
        [Some(first), second].into_iter().flatten().collect()
    }
}

impl Stack {
    /// A stack that may or may not run.
    #[must_use]
    pub const fn new(options: StackOptions) -> Self {
        Self { options }
    }

    /// The shape it is to have, or has.
    #[must_use]
    pub const fn topology(&self) -> Topology {
        self.options.topology
    }

    /// The stack in `state_dir`, as it was last brought up; `None` if it never was.
    #[must_use]
    pub fn open(state_dir: &Path) -> Option<Self> {
        let record = std::fs::read(state_dir.join("stack.json")).ok()?;
        let record: Record = serde_json::from_slice(&record).ok()?;
        Some(Self::new(StackOptions {
            state_dir: state_dir.to_owned(),
            topology: record.topology.parse().ok()?,
            postgres_port: record.postgres_port,
            redis_base_port: record.redis_base_port,
            second_redis_base_port: record.second_redis_base_port,
        }))
    }

    /// Starts what does not run and returns when all of it serves. Idempotent; repairs what a
    /// crash left behind; writes `env`.
    ///
    /// # Errors
    ///
    /// When a program is missing, a port is taken, a server does not come up, or the stack runs in
    /// another topology.
    pub async fn up(&self) -> Result<StackInfo, StackError> {
        let options = &self.options;
        let state = std::path::absolute(&options.state_dir)
            .map_err(StackError::file(&options.state_dir))?;
        std::fs::create_dir_all(&state).map_err(StackError::file(&state))?;
        if let Some(before) = Self::open(&state)
            && before.differs(options)
        {
            let has = before.options.topology;
            if has != options.topology && before.status().iter().any(|one| one.pid.is_some()) {
                let wanted = options.topology;
                return Err(StackError::OtherTopology { state, has, wanted });
            }
            // Another shape or other ports: the old servers would be in the way, or forgotten.
            before.down(false)?;
            for region in before.options.regions() {
                let _ = std::fs::remove_dir_all(state.join(region.name));
            }
        }
        self.record(&state)?;
        let database = PostgresOptions {
            folder: state.join("postgres"),
            port: options.postgres_port,
            throw_away: false,
        };
        let regions = options.regions();
        let clusters = async {
            let mut nodes = Vec::new();
            for Region { name, base_port, port_variable, .. } in &regions {
                let (folder, topology) = (state.join(name), options.topology);
                let start =
                    RedisCluster::start_as(&folder, topology, *base_port, port_variable, false);
                nodes.push(start.await?.urls());
            }
            Ok::<_, StackError>(nodes)
        };
        let (postgres, redis_nodes) = tokio::join!(Postgres::start(&database), clusters);
        let (postgres, redis_nodes) = (postgres?, redis_nodes?);
        let info = StackInfo {
            database_url: postgres.database_url(),
            database_feed_url: postgres.database_feed_url(),
            database_admin_url: postgres.database_admin_url(),
            redis_nodes,
        };
        let env = state.join("env");
        env_file::set(&env, "DATABASE_URL", &info.database_url)?;
        env_file::set(&env, "DATABASE_FEED_URL", &info.database_feed_url)?;
        env_file::set(&env, "DATABASE_ADMIN_URL", &info.database_admin_url)?;
        for (region, nodes) in regions.iter().zip(&info.redis_nodes) {
            env_file::set(&env, region.env_key, &nodes.join(","))?;
        }
        Ok(info)
    }

    /// Stops services and servers of this stack and no others. With `clean`, deletes all it
    /// kept, the database too.
    ///
    /// # Errors
    ///
    /// When files cannot be deleted.
    pub fn down(&self, clean: bool) -> Result<(), StackError> {
        let options = &self.options;
        let state = &options.state_dir;
        // All at once, and each again when it is waited for: who drains has nobody to drain for.
        let services = Service::all(state);
        services.iter().for_each(Service::ask_to_end);
        for service in services {
            service.stop(Duration::from_secs(20));
        }
        for cluster in self.clusters() {
            cluster.stop();
        }
        if let Some(postgres) = self.postgres() {
            postgres.stop();
        }
        let _ = std::fs::remove_file(state.join("env"));
        if clean {
            self.clean(state)?;
        }
        Ok(())
    }

    /// Every server and service, running or not.
    #[must_use]
    pub fn status(&self) -> Vec<ServerStatus> {
        let state = &self.options.state_dir;
        let entry = |name: &str, folder: PathBuf| {
            let running = running(&folder);
            ServerStatus {
                name: name.to_owned(),
                pid: running.map(|(pid, _)| pid),
                started_at: running.map(|(_, at)| at),
                log: log_file(&folder),
            }
        };
        let mut all = vec![entry("postgres", state.join("postgres"))];
        for Region { name, .. } in self.options.regions() {
            for index in 0..self.options.topology.nodes() {
                let folder = state.join(name).join(format!("node-{index}"));
                all.push(entry(&format!("{name}-{index}"), folder));
            }
        }
        for service in Service::all(state) {
            all.push(entry(service.name(), service.folder().to_owned()));
        }
        all
    }

    /// Whether Postgres answers and every region's cluster serves all slots with its replicas
    /// linked.
    pub async fn is_serving(&self) -> bool {
        for cluster in self.clusters() {
            if !cluster.is_formed().await {
                return false;
            }
        }
        self.postgres().is_some()
    }

    /// Its Postgres, if it runs: to be broken and mended.
    #[must_use]
    pub fn postgres(&self) -> Option<Postgres> {
        Postgres::attach(&self.state_dir().join("postgres"), self.options.postgres_port)
    }

    /// The cluster of each region, with the nodes that run: to be broken and mended.
    #[must_use]
    pub fn clusters(&self) -> Vec<RedisCluster> {
        let (options, state) = (&self.options, self.state_dir());
        let attach = |Region { name, base_port, .. }: Region| {
            RedisCluster::attach(&state.join(name), options.topology, base_port)
        };
        options.regions().into_iter().map(attach).collect()
    }

    /// Servers run in folders of their own: they are told absolute paths.
    fn state_dir(&self) -> PathBuf {
        let state = &self.options.state_dir;
        std::path::absolute(state).unwrap_or_else(|_| state.clone())
    }

    fn differs(&self, other: &StackOptions) -> bool {
        let own = &self.options;
        own.topology != other.topology
            || own.postgres_port != other.postgres_port
            || own.redis_base_port != other.redis_base_port
            || own.second_redis_base_port != other.second_redis_base_port
    }

    fn record(&self, state: &Path) -> Result<(), StackError> {
        let record = Record {
            topology: self.options.topology.to_string(),
            postgres_port: self.options.postgres_port,
            redis_base_port: self.options.redis_base_port,
            second_redis_base_port: self.options.second_redis_base_port,
        };
        let path = state.join("stack.json");
        let text = serde_json::to_vec(&record).expect("plain fields have a JSON form");
        std::fs::write(&path, text).map_err(StackError::file(&path))
    }

    /// Deletes what this stack made, and leaves programs that `make deps` put beside it.
    fn clean(&self, state: &Path) -> Result<(), StackError> {
        let user = crate::user::RunAs::unprivileged()?;
        let data = user.reachable(&state.join("postgres").join("data"))?;
        let mut folders = vec![data];
        folders.extend(["postgres", "services"].map(|name| state.join(name)));
        folders.extend(self.options.regions().iter().map(|region| state.join(region.name)));
        for folder in folders.iter().filter(|folder| folder.exists()) {
            std::fs::remove_dir_all(folder).map_err(StackError::file(folder))?;
        }
        let _ = std::fs::remove_file(state.join("stack.json"));
        Ok(())
    }
}
