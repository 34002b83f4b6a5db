//! Up, up again, after a crash, down: and nobody else's servers are touched.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant, UNIX_EPOCH};

use larder_stack::{
    ServerStatus, Stack, StackError, StackInfo, StackOptions, Topology, env_file, testing,
};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

/// A stack of the test's own; stopped when dropped.
pub(crate) struct Fixture {
    pub(crate) stack: Stack,
    pub(crate) folder: TempDir,
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.stack.down(true).expect("the stack stops");
    }
}

pub(crate) fn options(folder: &TempDir, topology: Topology) -> StackOptions {
    let mut options = StackOptions::new(folder.path().join("state"));
    options.topology = topology;
    options.postgres_port = testing::free_ports(1);
    options.redis_base_port = testing::free_ports(6);
    options
}

pub(crate) fn folder() -> TempDir {
    use std::os::unix::fs::PermissionsExt;

    // The user Postgres runs as must be able to enter it.
    let all = std::fs::Permissions::from_mode(0o755);
    tempfile::Builder::new().permissions(all).tempdir().expect("a folder")
}

async fn up() -> (Fixture, StackInfo) {
    let mut tries = 0;
    loop {
        let folder = folder();
        let stack = Stack::new(options(&folder, Topology::ThreeByZero));
        let fixture = Fixture { stack, folder };
        match fixture.stack.up().await {
            Ok(info) => return (fixture, info),
            // Another test was quicker.
            Err(StackError::PortTaken { .. }) if tries < 5 => tries += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn count(url: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.expect("Postgres answers");
    sqlx::query_scalar("SELECT count(*) FROM kept")
        .fetch_one(&mut connection)
        .await
        .expect("counts")
}

#[tokio::test]
async fn a_stack_comes_up_survives_a_crash_and_goes_down() {
    if testing::skip_without_servers("a_stack_comes_up_survives_a_crash_and_goes_down") {
        return;
    }
    let (fixture, info) = up().await;
    let stack = &fixture.stack;
    assert!(stack.is_serving().await);
    let state = fixture.folder.path().join("state");
    let env = env_file::read(&state.join("env")).expect("is there");
    let keys: Vec<&str> = env.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["DATABASE_URL", "DATABASE_FEED_URL", "DATABASE_ADMIN_URL", "REDIS_NODES"]);

    let mut admin = PgConnection::connect(&info.database_admin_url).await.expect("answers");
    admin.execute("CREATE TABLE kept AS SELECT 1 AS one").await.expect("makes a table");
    // The application's role is an ordinary one, and counted apart.
    let mut app = PgConnection::connect(&info.database_url).await.expect("answers");
    assert!(app.execute("CREATE ROLE another").await.is_err());
    // Refused unless the library was loaded when the server started.
    let counts: i64 = sqlx::query_scalar("SELECT count(*) FROM pg_stat_statements")
        .fetch_one(&mut admin)
        .await
        .expect("statements are counted");
    assert!(counts > 0);
    // As in a stack from before there was a change feed: the next start makes its role.
    admin.execute("DROP ROLE larder_feed, larder_relay").await.expect("drops roles");
    drop((app, admin));

    // Again: the same processes, at once.
    let before = stack.status();
    let began = Instant::now();
    assert_eq!(stack.up().await.expect("is up already"), info);
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(stack.status(), before);
    PgConnection::connect(&info.database_feed_url).await.expect("the feed's role is there");

    // Since when each runs, for people and for scripts.
    for server in &before {
        let at = UNIX_EPOCH + Duration::from_secs(server.started_at.expect("it runs"));
        assert!(at.elapsed().expect("past") < Duration::from_secs(600), "{server:?}");
    }
    let shown = Command::new(env!("CARGO_BIN_EXE_larder-stack"))
        .arg("--state-dir")
        .arg(&state)
        .arg("status")
        .output()
        .expect("runs");
    let shown = String::from_utf8(shown.stdout).expect("UTF-8");
    let running = shown.lines().filter(|line| line.contains(" pid ") && line.contains(" for "));
    assert_eq!(running.count(), before.len(), "{shown}");

    // As after a power cut: everything is killed, then brought up over what is left.
    for server in &before {
        let pid = server.pid.expect("runs").to_string();
        Command::new("kill").args(["-KILL", &pid]).status().expect("kill runs");
    }
    let gone = Instant::now() + Duration::from_secs(10);
    while stack.status().iter().any(|server| server.pid.is_some()) {
        assert!(Instant::now() < gone, "{:?}", stack.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!stack.is_serving().await);
    assert_eq!(stack.up().await.expect("comes up again"), info);
    assert!(stack.is_serving().await);
    assert_eq!(count(&info.database_admin_url).await, 1);

    // Down keeps the data, unless it is told not to.
    stack.down(false).expect("stops");
    let stopped = |server: &ServerStatus| server.pid.is_none() && server.started_at.is_none();
    assert!(stack.status().iter().all(stopped));
    assert!(!state.join("env").exists());
    stack.up().await.expect("comes up again");
    assert_eq!(count(&info.database_admin_url).await, 1);
    stack.down(true).expect("stops");
    assert!(!state.join("postgres").exists() && !state.join("redis").exists());
}

#[tokio::test]
async fn a_taken_port_is_named_and_its_owner_left_alone() {
    if testing::skip_without_servers("a_taken_port_is_named_and_its_owner_left_alone") {
        return;
    }
    let folder = folder();
    let mut options = options(&folder, Topology::ThreeByZero);
    let foreign = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = foreign.local_addr().expect("an address").port();
    options.postgres_port = port;
    let stack = Stack::new(options);
    let error = stack.up().await.expect_err("the port is taken");
    let said = error.to_string();
    assert!(said.contains(&port.to_string()), "{said}");
    assert!(said.contains("LARDER_STACK_POSTGRES_PORT"), "{said}");
    stack.down(true).expect("stops what had started");
    assert!(stack.status().iter().all(|server| server.pid.is_none()));
    TcpStream::connect(("127.0.0.1", port)).expect("its owner still listens");
}

#[tokio::test]
async fn a_process_that_took_over_an_old_id_is_not_touched() {
    let folder = folder();
    let stack = Stack::new(options(&folder, Topology::ThreeByZero));
    let mut foreign = Command::new("sleep").arg("600").spawn().expect("sleep runs");
    let postgres = folder.path().join("state/postgres");
    std::fs::create_dir_all(&postgres).expect("a folder");
    // What a crash leaves behind: an id that now belongs to somebody else.
    let left = format!(r#"{{"pid": {}, "started": "1"}}"#, foreign.id());
    std::fs::write(postgres.join("process.json"), left).expect("writes");
    assert!(stack.status().iter().all(|server| server.pid.is_none()));
    stack.down(false).expect("nothing to stop");
    assert!(foreign.try_wait().expect("asks").is_none(), "somebody else's process was ended");
    foreign.kill().expect("is ours");
    foreign.wait().expect("ends");
}

#[tokio::test]
async fn a_stack_that_runs_is_not_turned_into_another_topology() {
    if testing::skip_without_servers("a_stack_that_runs_is_not_turned_into_another_topology") {
        return;
    }
    let folder = folder();
    let mut options = options(&folder, Topology::Standalone);
    let fixture = Fixture { stack: Stack::new(options.clone()), folder };
    fixture.stack.up().await.expect("comes up");
    let before = fixture.stack.status();
    options.topology = Topology::ThreeByZero;
    let other = Stack::new(options);
    let said = other.up().await.expect_err("it runs otherwise").to_string();
    for part in ["runs as standalone, not as 3x0", "make down", "TOPOLOGY=standalone"] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains('\n'), "{said}");
    assert_eq!(fixture.stack.status(), before, "nothing was touched");
    // Once it is down, nothing is in the way.
    fixture.stack.down(false).expect("stops");
    let info = other.up().await.expect("comes up in the other topology");
    assert_eq!(info.redis_nodes[0].len(), 3);
    assert!(other.is_serving().await);
    other.down(true).expect("stops");
}

#[tokio::test]
async fn one_server_of_a_stack_is_broken_and_mended() {
    if testing::skip_without_servers("one_server_of_a_stack_is_broken_and_mended") {
        return;
    }
    let folder = folder();
    let stack = Stack::new(options(&folder, Topology::ThreeByOne));
    let fixture = Fixture { stack, folder };
    let stack = &fixture.stack;
    let info = stack.up().await.expect("comes up");
    let mut admin = PgConnection::connect(&info.database_admin_url).await.expect("answers");
    admin.execute("CREATE TABLE kept AS SELECT 1 AS one").await.expect("makes a table");
    drop(admin);
    for crash in [false, true] {
        let mut postgres = stack.postgres().expect("runs");
        let before = postgres.pid();
        if crash {
            postgres.kill()
        } else {
            postgres.stop()
        }
        assert!(stack.postgres().is_none());
        postgres.restart().await.expect("starts again");
        assert_ne!(postgres.pid(), before);
        assert_eq!(count(&info.database_admin_url).await, 1);
    }

    let mut redis = stack.clusters().pop().expect("one cluster");
    let before = redis.primaries().await;
    assert_eq!(before, [0, 1, 2]);
    redis.kill(1);
    let deadline = Instant::now() + Duration::from_secs(30);
    while redis.primaries().await.len() < before.len() {
        assert!(Instant::now() < deadline, "no replica takes over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    redis.revive(1).await.expect("comes back");
    assert!(stack.is_serving().await);
    // Whoever took over keeps the slots.
    assert_eq!(redis.primaries().await, [0, 2, 4]);
}
