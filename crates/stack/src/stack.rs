//! The whole stack: up, down, status.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env_file;
use crate::error::StackError;
use crate::postgres::{Postgres, PostgresOptions};
use crate::redis_cluster::RedisCluster;
use crate::service::Service;
use crate::topology::Topology;

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
    /// `redis://host:port` of every node.
    pub redis_nodes: Vec<String>,
}

/// One server or service of a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerStatus {
    /// Its name: `postgres`, `redis-0`, or the service's own.
    pub name: String,
    /// Its process, while it runs.
    pub pid: Option<i32>,
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
        }
    }
}

impl Stack {
    /// A stack that may or may not run.
    #[must_use]
    pub const fn new(options: StackOptions) -> Self {
        Self { options }
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
        }))
    }

    /// Starts what does not run and returns when all of it serves. Idempotent; repairs what a
    /// crash left behind; writes `env`.
    ///
    /// # Errors
    ///
    /// When a program is missing, a port is taken, or a server does not come up.
    pub async fn up(&self) -> Result<StackInfo, StackError> {
        let options = &self.options;
        let state = std::path::absolute(&options.state_dir)
            .map_err(StackError::file(&options.state_dir))?;
        std::fs::create_dir_all(&state).map_err(StackError::file(&state))?;
        if let Some(before) = Self::open(&state)
            && before.differs(options)
        {
            // Another shape or other ports: the old servers would be in the way, or forgotten.
            before.down(false)?;
            let _ = std::fs::remove_dir_all(state.join("redis"));
        }
        self.record(&state)?;
        let database = PostgresOptions {
            folder: state.join("postgres"),
            port: options.postgres_port,
            throw_away: false,
        };
        let folder = state.join("redis");
        let (postgres, redis) = tokio::join!(
            Postgres::start(&database),
            RedisCluster::start(&folder, options.topology, options.redis_base_port, false),
        );
        let (postgres, redis) = (postgres?, redis?);
        let info = StackInfo {
            database_url: postgres.database_url(),
            database_feed_url: postgres.database_feed_url(),
            database_admin_url: postgres.database_admin_url(),
            redis_nodes: redis.urls(),
        };
        let env = state.join("env");
        env_file::set(&env, "DATABASE_URL", &info.database_url)?;
        env_file::set(&env, "DATABASE_FEED_URL", &info.database_feed_url)?;
        env_file::set(&env, "DATABASE_ADMIN_URL", &info.database_admin_url)?;
        env_file::set(&env, "REDIS_NODES", &info.redis_nodes.join(","))?;
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
        for service in Service::all(state) {
            service.stop(Duration::from_secs(15));
        }
        self.redis().stop();
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
            let identity = crate::process::Identity::load(&crate::process::pid_file(&folder));
            ServerStatus {
                name: name.to_owned(),
                pid: identity.filter(crate::process::Identity::is_alive).map(|found| found.pid),
                log: crate::process::log_file(&folder),
            }
        };
        let mut all = vec![entry("postgres", state.join("postgres"))];
        for index in 0..self.options.topology.nodes() {
            let folder = state.join("redis").join(format!("node-{index}"));
            all.push(entry(&format!("redis-{index}"), folder));
        }
        for service in Service::all(state) {
            all.push(entry(service.name(), service.folder().to_owned()));
        }
        all
    }

    /// Whether Postgres answers and the cluster serves all slots with its replicas linked.
    pub async fn is_serving(&self) -> bool {
        self.postgres().is_some() && self.redis().is_formed().await
    }

    fn postgres(&self) -> Option<Postgres> {
        Postgres::attach(&self.options.state_dir.join("postgres"), self.options.postgres_port)
    }

    fn redis(&self) -> RedisCluster {
        let options = &self.options;
        let folder = options.state_dir.join("redis");
        RedisCluster::attach(&folder, options.topology, options.redis_base_port)
    }

    fn differs(&self, other: &StackOptions) -> bool {
        let own = &self.options;
        own.topology != other.topology
            || own.postgres_port != other.postgres_port
            || own.redis_base_port != other.redis_base_port
    }

    fn record(&self, state: &Path) -> Result<(), StackError> {
        let record = Record {
            topology: self.options.topology.to_string(),
            postgres_port: self.options.postgres_port,
            redis_base_port: self.options.redis_base_port,
        };
        let path = state.join("stack.json");
        let text = serde_json::to_vec(&record).expect("plain fields have a JSON form");
        std::fs::write(&path, text).map_err(StackError::file(&path))
    }

    /// Deletes what this stack made, and leaves programs that `make deps` put beside it.
    fn clean(&self, state: &Path) -> Result<(), StackError> {
        let user = crate::user::RunAs::unprivileged()?;
        let data = user.reachable(&state.join("postgres").join("data"))?;
        for folder in
            [&data, &state.join("postgres"), &state.join("redis"), &state.join("services")]
        {
            if folder.exists() {
                std::fs::remove_dir_all(folder).map_err(StackError::file(folder))?;
            }
        }
        let _ = std::fs::remove_file(state.join("stack.json"));
        Ok(())
    }
}
