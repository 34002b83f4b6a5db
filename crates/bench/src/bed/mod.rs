//! The test bed: servers, databases, and API processes of the benchmark's own.

mod api;
mod database;
mod delay;
mod replicas;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use larder_stack::{Postgres, RedisCluster, Stack, StackInfo, StackOptions, Topology, env_file};

pub use api::{Api, ApiSettings};
pub use database::{
    MADE, catalogue_size, equal_products, largest_category, mean_statement_ms, next_product_id,
    pages_that_show, products_by_popularity, unmake_products,
};
pub use delay::DelayProxy;
pub use replicas::Replicas;

use self::database::run;

/// Ports of the benchmark's own stack, away from those of `make up`, unless these variables name others.
const POSTGRES_PORT: (&str, u16) = ("LARDER_BENCH_POSTGRES_PORT", 25_432);
const REDIS_PORT: (&str, u16) = ("LARDER_BENCH_REDIS_PORT", 17_000);
/// The Redis Cluster of a second region is so far from the first one.
const SECOND_REDIS: u16 = 100;

/// Where the servers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum StackChoice {
    /// A stack of the benchmark's own below `target/larder-bench`.
    Own,
    /// The one that `make up` started.
    Running,
}

/// Servers to measure on.
#[derive(Debug)]
pub struct Bed {
    admin_url: String,
    redis_nodes: String,
    api: PathBuf,
    /// 0: not known yet.
    postgres_pid: i32,
    delay: Option<DelayProxy>,
    own: Option<Stack>,
    second_region: Option<RedisCluster>,
    /// What the names of all databases and roles that this bed makes begin with.
    prefix: String,
    named: AtomicU32,
}

impl Bed {
    /// Servers that somebody else runs: tests use it.
    #[must_use]
    pub fn given(admin_url: String, redis_nodes: &[String], api: PathBuf) -> Self {
        Self {
            admin_url,
            redis_nodes: redis_nodes.join(","),
            api,
            postgres_pid: 0,
            delay: None,
            own: None,
            second_region: None,
            prefix: format!("bench_{:016x}", rand::random::<u64>()),
            named: AtomicU32::new(0),
        }
    }

    /// Brings the servers up, or finds them running. `api` is the `catalog-api` program.
    ///
    /// # Errors
    ///
    /// When servers do not start, or none run.
    pub async fn prepare(choice: StackChoice, api: PathBuf) -> Result<Self> {
        ensure!(
            api.exists(),
            "{} is not there: cargo build --release -p catalog-api, or --api PATH",
            api.display()
        );
        match choice {
            StackChoice::Own => {
                let mut options = StackOptions::new(target_dir().join("stack"));
                options.topology = Topology::ThreeByOne;
                options.postgres_port = port(POSTGRES_PORT)?;
                options.redis_base_port = port(REDIS_PORT)?;
                let stack = Stack::new(options);
                let info = stack.up().await.with_context(|| {
                    let (postgres, redis) = (POSTGRES_PORT.0, REDIS_PORT.0);
                    format!("the benchmark's own servers (ports: {postgres}, {redis})")
                })?;
                Self::owning(stack, info, api)
            }
            StackChoice::Running => {
                let state = std::env::var_os("STACK_DIR").map_or(".stack".into(), PathBuf::from);
                let Some(stack) = Stack::open(&state) else {
                    bail!(
                        "no stack was ever started in {}: make up, or --stack own",
                        state.display()
                    );
                };
                let env = env_file::read(&state.join("env"))?;
                let value = |name: &str| {
                    let pair = env.iter().find(|(key, _)| key == name);
                    let value = pair.map(|(_, value)| value.clone());
                    value.with_context(|| {
                        let file = state.join("env");
                        format!(
                            "the stack is not up ({} has no {name}): make up, or --stack own",
                            file.display()
                        )
                    })
                };
                let nodes: Vec<String> =
                    value("REDIS_NODES")?.split(',').map(str::to_owned).collect();
                Self::of(&stack, value("DATABASE_ADMIN_URL")?, &nodes, api)
            }
        }
    }

    /// A stack that is up, which is the bed's to break, and to stop at the end.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn owning(stack: Stack, info: StackInfo, api: PathBuf) -> Result<Self> {
        let bed = Self::of(&stack, info.database_admin_url, &info.redis_nodes[0], api)?;
        Ok(Self { own: Some(stack), ..bed })
    }

    fn of(stack: &Stack, admin_url: String, redis_nodes: &[String], api: PathBuf) -> Result<Self> {
        let status = stack.status();
        let postgres = status.iter().find(|server| server.name == "postgres");
        let postgres_pid = postgres.and_then(|server| server.pid);
        let postgres_pid =
            postgres_pid.context("the stack's Postgres does not run: make up, or --stack own")?;
        Ok(Self { postgres_pid, ..Self::given(admin_url, redis_nodes, api) })
    }

    /// Postgres's first process; 0 while it is unknown.
    #[must_use]
    pub const fn postgres_pid(&self) -> i32 {
        self.postgres_pid
    }

    /// Finds Postgres's first process, where nobody has told it.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn find_postgres(&mut self) -> Result<()> {
        if self.postgres_pid == 0 {
            self.postgres_pid = database::first_process(&self.admin_url).await?;
        }
        Ok(())
    }

    /// Whether the servers are this bed's own, to be broken.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Brings own servers up that have died.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub async fn mend(&self) -> Result<()> {
        if let Some(stack) = &self.own {
            stack.up().await?;
        }
        Ok(())
    }

    /// From now on each round trip of a service to Postgres takes `latency` longer.
    ///
    /// # Errors
    ///
    /// When Postgres's address is not known, or there is no free port.
    pub async fn delay_database(&mut self, latency: Duration) -> Result<()> {
        let (_, host) = self.admin_url.rsplit_once('@').context("the admin URL has a host")?;
        let address = host.split('/').next().unwrap_or(host).to_owned();
        let mut resolved = tokio::net::lookup_host(&address)
            .await
            .with_context(|| format!("Postgres's address {address}"))?;
        let server = resolved.next().context("Postgres has an address")?;
        self.delay = Some(DelayProxy::before(server, latency).await?);
        Ok(())
    }

    /// What stands between services and Postgres, where [`delay_database`](Self::delay_database) has
    /// put something there.
    #[must_use]
    pub const fn database_proxy(&self) -> Option<&DelayProxy> {
        self.delay.as_ref()
    }

    /// What is added to each round trip of a service to Postgres.
    #[must_use]
    pub fn db_latency(&self) -> Option<Duration> {
        self.delay.as_ref().map(DelayProxy::latency)
    }

    /// `url` of a role as a service is to use it.
    fn for_service(&self, url: String) -> String {
        let Some(delay) = &self.delay else { return url };
        let Some((role, rest)) = url.rsplit_once('@') else { return url };
        let database = rest.split_once('/').map_or("", |(_, database)| database);
        format!("{role}@127.0.0.1:{}/{database}", delay.port())
    }

    /// The administrator's URL of the stack's database.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// `redis://host:port` of the nodes, comma-separated.
    #[must_use]
    pub fn redis_nodes(&self) -> &str {
        &self.redis_nodes
    }

    /// Makes an empty database beside the stack's own; its administrator's URL.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn database(&self) -> Result<String> {
        let name = self.new_name();
        run(&self.admin_url, format!("CREATE DATABASE {name}")).await?;
        let (server, _) = self.admin_url.rsplit_once('/').context("the URL names a database")?;
        Ok(format!("{server}/{name}"))
    }

    /// Makes a role that may log in and is a member of `group`: its name, and its URL for the
    /// database of `admin_url`.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer, or there is no such group.
    pub async fn role(&self, admin_url: &str, group: &str) -> Result<(String, String)> {
        let (role, password) = (self.new_name(), format!("{:032x}", rand::random::<u128>()));
        let make = format!("CREATE ROLE {role} LOGIN PASSWORD '{password}' IN ROLE {group}");
        run(admin_url, make).await?;
        let (_, host) = admin_url.rsplit_once('@').context("the admin URL has a host")?;
        let url = format!("postgres://{role}:{password}@{host}");
        Ok((role, url))
    }

    /// Sees to it that Postgres keeps the time of each commit: an own server that does not yet
    /// is started again.
    ///
    /// # Errors
    ///
    /// When somebody else's does not, or does not answer.
    pub async fn keep_commit_times(&mut self) -> Result<()> {
        if database::keeps_commit_times(&self.admin_url).await? {
            return Ok(());
        }
        let Some(stack) = &self.own else {
            bail!("this Postgres does not keep commit times: set track_commit_timestamp = on");
        };
        run(&self.admin_url, "ALTER SYSTEM SET track_commit_timestamp = on".to_owned()).await?;
        stack.down(false)?;
        let info = stack.up().await?;
        let again =
            Self::of(stack, info.database_admin_url, &info.redis_nodes[0], self.api.clone())?;
        self.postgres_pid = again.postgres_pid;
        Ok(())
    }

    /// Its Postgres, to be broken.
    ///
    /// # Errors
    ///
    /// When it is somebody else's, or does not run.
    pub fn postgres(&self) -> Result<Postgres> {
        let stack = self.own.as_ref().context("only servers of our own are broken: --stack own")?;
        stack.postgres().context("Postgres does not run")
    }

    /// Its Redis Cluster, to be broken.
    ///
    /// # Errors
    ///
    /// When it is somebody else's.
    pub fn redis(&self) -> Result<RedisCluster> {
        let stack = self.own.as_ref().context("only servers of our own are broken: --stack own")?;
        stack.clusters().into_iter().next().context("a stack has a Redis Cluster")
    }

    /// Starts a second Redis Cluster, for processes that are elsewhere; `redis://host:port` of
    /// its nodes, comma-separated.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn second_region(&mut self) -> Result<String> {
        let folder = std::path::absolute(target_dir().join("second-region"))?;
        std::fs::create_dir_all(&folder)?;
        let topology = Topology::ThreeByOne;
        let first = port(REDIS_PORT)? + SECOND_REDIS;
        let cluster = RedisCluster::start(&folder, topology, first, false).await?;
        let nodes = cluster.urls().join(",");
        self.second_region = Some(cluster);
        Ok(nodes)
    }

    /// A name that nobody else uses, for a database, a role or a cache environment.
    pub(crate) fn new_name(&self) -> String {
        format!("{}_{}", self.prefix, self.named.fetch_add(1, Ordering::Relaxed))
    }

    /// Runs a subcommand of `catalog-api` as administrator of `admin_url`'s database.
    ///
    /// # Errors
    ///
    /// When it fails; its message is passed on.
    pub fn administer(&self, admin_url: &str, arguments: &[&str]) -> Result<()> {
        let output = Command::new(&self.api)
            .args(arguments)
            .current_dir(std::env::temp_dir())
            .env("LARDER__DATABASE__ADMIN_URL", admin_url)
            .output()
            .with_context(|| format!("running {}", self.api.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "catalog-api {}: {said}", arguments.join(" "));
        Ok(())
    }

    /// Migrates the stack's database and fills it, if it is empty.
    ///
    /// # Errors
    ///
    /// When either fails.
    pub fn seed(&self, products: u32, reviews: u32) -> Result<()> {
        self.administer(&self.admin_url, &["migrate"])?;
        let (products, reviews) = (products.to_string(), reviews.to_string());
        let seed = ["seed", "--if-empty", "--products", &products, "--reviews", &reviews];
        self.administer(&self.admin_url, &seed)
    }

    /// Drops the databases and roles that this bed made, and stops the servers that it
    /// started. The API processes must have ended.
    pub async fn stop(&self) {
        if let Err(error) = database::drop_all(&self.admin_url, &self.prefix).await {
            eprintln!("{}* was not dropped: {error:#}", self.prefix);
        }
        if let Some(cluster) = &self.second_region {
            cluster.stop();
        }
        if let Some(stack) = &self.own
            && let Err(error) = stack.down(false)
        {
            eprintln!("the benchmark's stack was not stopped: {error}");
        }
    }
}

/// A port, by the variable that may name it and what it is otherwise.
fn port((variable, usual): (&str, u16)) -> Result<u16> {
    let Some(value) = std::env::var_os(variable) else { return Ok(usual) };
    let value = value.to_string_lossy();
    let port = value.parse::<u16>().ok().filter(|port| (1_024..=55_000).contains(port));
    port.with_context(|| format!("{variable} must be a port from 1024 to 55000, not {value:?}"))
}

/// Where the benchmark keeps its servers and results: `target/larder-bench`.
#[must_use]
pub fn target_dir() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or("target".into(), PathBuf::from);
    target.join("larder-bench")
}

/// The `catalog-api` that was built with this program.
///
/// # Errors
///
/// When this program's own path is unknown.
pub fn api_beside_us() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let folder = own.parent().unwrap_or(Path::new("."));
    // Tests run one folder below the programs.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    Ok(folder.join("catalog-api"))
}
