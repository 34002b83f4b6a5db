//! Real servers for tests and benchmarks.
//!
//! Below `larder-stack exec` (as in `make test`) tests share one Postgres and one Redis
//! Cluster, each test with a database, a role or a key prefix of its own. Elsewhere each test
//! that asks starts servers of its own. Either way they end with the test, even when it
//! panics or is killed.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::RngExt;
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use crate::binaries::Binaries;
use crate::error::StackError;
use crate::ports::free_range;
use crate::postgres::{APP_GROUP, FEED_GROUP, Postgres, PostgresOptions, make_role, run};
use crate::redis_cluster::RedisCluster;
use crate::topology::Topology;

/// The shared Postgres's superuser URL, set by `exec`.
pub const SHARED_POSTGRES: &str = "LARDER_TEST_DATABASE_ADMIN_URL";
/// The shared cluster's nodes, comma-separated, set by `exec`.
pub const SHARED_REDIS: &str = "LARDER_TEST_REDIS_NODES";
/// Set, missing servers are a failure; else the tests that need them say so and pass.
pub const REQUIRE_SERVERS: &str = "LARDER_REQUIRE_SERVERS";

/// Ports are looked for again when another test was quicker.
const TRIES: u32 = 5;

/// A Postgres for tests.
#[derive(Debug)]
pub struct TestPostgres {
    admin_url: String,
    own: Option<(Postgres, TempDir)>,
}

/// A database for one test, with login roles that are counted apart. Dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its name.
    pub name: String,
    /// The superuser's URL for it.
    pub admin_url: String,
    /// The application's URL for it.
    pub app_url: String,
    /// The application's role, a member of `larder_application`.
    pub app_role: String,
    /// The change feed's URL for it.
    pub feed_url: String,
    /// The change feed's role, a member of `larder_relay`.
    pub feed_role: String,
    server_url: String,
}

/// A Redis Cluster for tests.
#[derive(Debug)]
pub struct TestRedis {
    nodes: Vec<String>,
    own: Option<(RedisCluster, TempDir)>,
}

/// What to install, if a server's program is missing.
#[must_use]
pub fn servers_missing() -> Option<String> {
    Binaries::find().err().map(|error| error.to_string())
}

/// Whether `test` must be skipped for want of servers; says so on standard error.
///
/// # Panics
///
/// When servers are missing and [`REQUIRE_SERVERS`] is set.
#[must_use]
pub fn skip_without_servers(test: &str) -> bool {
    let Some(missing) = servers_missing() else { return false };
    assert!(std::env::var_os(REQUIRE_SERVERS).is_none(), "{test} needs servers: {missing}");
    eprintln!("SKIPPED {test}: {missing}");
    true
}

/// A name that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random: u64 = rand::rng().random();
    format!("{prefix}_{random:016x}_{count}")
}

/// The first of `count` free ports in a row. Another test may take them first: try again then.
#[must_use]
pub fn free_ports(count: u16) -> u16 {
    free_range(count)
}

/// The shared Postgres, or a private one.
///
/// # Panics
///
/// When none can be started.
pub async fn postgres() -> TestPostgres {
    match std::env::var(SHARED_POSTGRES) {
        Ok(admin_url) => TestPostgres { admin_url, own: None },
        Err(_) => private_postgres().await,
    }
}

/// A Postgres that this test may stop and kill.
///
/// # Panics
///
/// When it cannot be started.
pub async fn private_postgres() -> TestPostgres {
    let (server, folder) = start_postgres().await.expect("a Postgres for the test starts");
    TestPostgres { admin_url: server.admin_url("postgres"), own: Some((server, folder)) }
}

/// The shared Redis Cluster (whatever its topology), or a private one.
///
/// # Panics
///
/// When none can be started.
pub async fn redis_cluster(topology: Topology) -> TestRedis {
    match std::env::var(SHARED_REDIS) {
        Ok(nodes) => TestRedis { nodes: nodes.split(',').map(str::to_owned).collect(), own: None },
        Err(_) => private_redis_cluster(topology).await,
    }
}

/// A Redis Cluster that this test may stop, kill and freeze.
///
/// # Panics
///
/// When it cannot be started.
pub async fn private_redis_cluster(topology: Topology) -> TestRedis {
    let (cluster, folder) = start_redis(topology).await.expect("a cluster for the test starts");
    TestRedis { nodes: cluster.urls(), own: Some((cluster, folder)) }
}

/// A throw-away Postgres on a free port.
pub(crate) async fn start_postgres() -> Result<(Postgres, TempDir), StackError> {
    let mut tries = 0;
    loop {
        let folder = folder()?;
        let options = PostgresOptions {
            folder: folder.path().to_owned(),
            port: free_range(1),
            throw_away: true,
        };
        match Postgres::start(&options).await {
            Ok(server) => return Ok((server, folder)),
            Err(error) if tries == TRIES || matches!(error, StackError::Missing { .. }) => {
                return Err(error);
            }
            Err(_) => tries += 1,
        }
    }
}

/// A throw-away cluster on free ports.
pub(crate) async fn start_redis(topology: Topology) -> Result<(RedisCluster, TempDir), StackError> {
    let count = u16::try_from(topology.nodes()).expect("a handful of nodes");
    let mut tries = 0;
    loop {
        let folder = folder()?;
        match RedisCluster::start(folder.path(), topology, free_range(count), true).await {
            Ok(cluster) => return Ok((cluster, folder)),
            Err(error) if tries == TRIES || matches!(error, StackError::Missing { .. }) => {
                return Err(error);
            }
            Err(_) => {
                // Nodes that did start would outlive the folder.
                RedisCluster::attach(folder.path(), topology, 0).stop();
                tries += 1;
            }
        }
    }
}

/// A temporary folder that the user Postgres runs as can enter.
fn folder() -> Result<TempDir, StackError> {
    use std::os::unix::fs::PermissionsExt;

    let temporary = std::env::temp_dir();
    tempfile::Builder::new()
        .prefix("larder-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .map_err(StackError::file(temporary))
}

impl TestPostgres {
    /// A new, empty database with roles of its own for the application and the change feed.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn database(&self) -> TestDatabase {
        let name = unique("test");
        let (app_role, feed_role) = (format!("{name}_app"), format!("{name}_feed"));
        let mut admin = self.admin().await;
        for (role, group) in [(&app_role, APP_GROUP), (&feed_role, FEED_GROUP)] {
            make_role(&mut admin, group, "NOLOGIN").await.expect("the server makes roles");
            let attributes = format!("LOGIN PASSWORD 'test' IN ROLE {group}");
            make_role(&mut admin, role, &attributes).await.expect("the server makes roles");
        }
        let database = format!("CREATE DATABASE {name}");
        run(&mut admin, database).await.expect("the server makes databases");
        let host = self.admin_url.rsplit('@').next().unwrap_or_default();
        let host = host.split('/').next().unwrap_or_default();
        TestDatabase {
            admin_url: with_database(&self.admin_url, &name),
            app_url: format!("postgres://{app_role}:test@{host}/{name}"),
            feed_url: format!("postgres://{feed_role}:test@{host}/{name}"),
            server_url: self.admin_url.clone(),
            name,
            app_role,
            feed_role,
        }
    }

    /// Ends the server as a crash would.
    ///
    /// # Panics
    ///
    /// When the server is shared.
    pub fn kill(&self) {
        let (server, _) = self.own.as_ref().expect("only a private server can be killed");
        server.kill();
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.admin_url).await.expect("the test's Postgres answers")
    }
}

/// A transaction of the administrator's that is still open.
#[derive(Debug)]
pub struct OpenTransaction(PgConnection);

/// A lock that the administrator holds on a table: whoever needs the table waits.
#[derive(Debug)]
pub struct TableLock(PgConnection);

impl TableLock {
    /// Lets those who wait go on.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn release(mut self) {
        run(&mut self.0, "ROLLBACK".to_owned()).await.expect("the lock is released");
    }
}

impl TestDatabase {
    /// Runs SQL as the administrator.
    ///
    /// # Panics
    ///
    /// When the server refuses it.
    pub async fn execute(&self, sql: &str) {
        let mut admin = self.admin().await;
        run(&mut admin, sql.to_owned()).await.expect("the SQL runs");
    }

    /// Runs SQL as the administrator, which the server may refuse.
    ///
    /// # Errors
    ///
    /// When it does.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn try_execute(&self, sql: &str) -> Result<(), StackError> {
        let mut admin = self.admin().await;
        run(&mut admin, sql.to_owned()).await
    }

    /// Statements of the application's role that Postgres itself has counted
    /// (`pg_stat_statements`).
    ///
    /// # Panics
    ///
    /// When it does not answer, or has thrown statements away.
    pub async fn counted(&self) -> u64 {
        self.counted_of(&self.app_role).await
    }

    /// The same of another role.
    ///
    /// # Panics
    ///
    /// As [`counted`](Self::counted).
    pub async fn counted_of(&self, role: &str) -> u64 {
        let (calls, dealloc): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(s.calls), 0)::bigint, (SELECT dealloc FROM pg_stat_statements_info)
             FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
             WHERE r.rolname = $1",
        )
        .bind(role)
        .fetch_one(&mut self.admin().await)
        .await
        .expect("pg_stat_statements is readable");
        assert_eq!(dealloc, 0, "pg_stat_statements has thrown entries away");
        calls.unsigned_abs()
    }

    /// Lets the application's role in no more, and ends its sessions: Postgres is gone, for it.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn shut(&self) {
        let role = &self.app_role;
        self.execute(&format!("ALTER ROLE {role} NOLOGIN")).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename";
        self.execute(&format!("{end} = '{role}'")).await;
    }

    /// Lets it in again.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn open(&self) {
        self.execute(&format!("ALTER ROLE {} LOGIN", self.app_role)).await;
    }

    /// Begins a transaction, as the administrator, and runs `sql` in it.
    ///
    /// # Panics
    ///
    /// When the statement fails.
    pub async fn begin(&self, sql: &str) -> OpenTransaction {
        let mut admin = self.admin().await;
        run(&mut admin, format!("BEGIN; {sql}")).await.expect("the statement runs");
        OpenTransaction(admin)
    }

    /// Locks `table` against every other use.
    ///
    /// # Panics
    ///
    /// When there is no such table.
    pub async fn lock(&self, table: &str) -> TableLock {
        let mut admin = self.admin().await;
        let sql = format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE");
        run(&mut admin, sql).await.expect("the table is locked");
        TableLock(admin)
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.admin_url).await.expect("the test's Postgres answers")
    }
}

impl OpenTransaction {
    /// Commits it.
    ///
    /// # Panics
    ///
    /// When that fails.
    pub async fn commit(mut self) {
        run(&mut self.0, "COMMIT".to_owned()).await.expect("the transaction commits");
    }
}

impl Drop for TestPostgres {
    fn drop(&mut self) {
        if let Some((server, _folder)) = &self.own {
            server.kill();
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (url, name) = (&self.server_url, &self.name);
        let statements = [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("DROP ROLE {}, {}", self.app_role, self.feed_role),
        ];
        let clean = async || {
            let mut admin = PgConnection::connect(url).await?;
            for sql in statements {
                run(&mut admin, sql).await?;
            }
            Ok::<(), StackError>(())
        };
        // A thread, since this may be dropped inside a runtime. If the server is gone, so is
        // the database.
        std::thread::scope(|scope| {
            let _ = scope
                .spawn(|| {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_all().build();
                    runtime.map(|runtime| runtime.block_on(clean()))
                })
                .join();
        });
    }
}

impl TestRedis {
    /// `redis://host:port` of every node; primaries come first in a private cluster.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.nodes.clone()
    }

    /// Stops every node.
    ///
    /// # Panics
    ///
    /// When the cluster is shared.
    pub async fn stop_all(&mut self) {
        self.cluster().stop();
    }

    /// Starts every node again, on the same ports and empty, and waits until they serve.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or does not come up.
    pub async fn start_all(&mut self) {
        let (cluster, _) = self.own.as_mut().expect("only a private cluster can be restarted");
        cluster.restart().await.expect("the cluster comes up again");
    }

    /// Ends node `index` as a crash would.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn kill(&mut self, index: usize) {
        self.cluster().kill(index);
    }

    /// Freezes node `index`.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn freeze(&mut self, index: usize) {
        self.cluster().freeze(index);
    }

    /// Lets a frozen node go on.
    ///
    /// # Panics
    ///
    /// When the cluster is shared, or has no such node.
    pub fn thaw(&mut self, index: usize) {
        self.cluster().thaw(index);
    }

    fn cluster(&self) -> &RedisCluster {
        &self.own.as_ref().expect("only a private cluster can be broken").0
    }
}

impl Drop for TestRedis {
    fn drop(&mut self) {
        if let Some((cluster, _folder)) = &self.own {
            for index in 0..self.nodes.len() {
                cluster.kill(index);
            }
        }
    }
}

/// `url` with another database's name.
fn with_database(url: &str, name: &str) -> String {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    format!("{server}/{name}")
}

/// Where recorded inputs are: `$LARDER_DATA`, or `../shared/data` beside the workspace.
/// `None`, said on standard error, where `file` is not there.
#[must_use]
pub fn data_file(test: &str, file: &str) -> Option<std::path::PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("LARDER_DATA").map_or(beside, Into::into);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED {test}: {} is not there (set LARDER_DATA)", path.display());
    None
}
