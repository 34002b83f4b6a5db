//! A private Postgres.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngExt;
use rustix::process::Signal;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::binaries::Binaries;
use crate::error::StackError;
use crate::ports::require_free;
use crate::process::{Identity, log_file, pid_file, spawn, tail};
use crate::user::RunAs;

/// The database, its owner, and the login roles of the application and of its change feed, each
/// with the group that migrations grant to.
const DATABASE: &str = "larder";
const ADMIN: &str = "larder_admin";
const APP: &str = "larder_app";
const FEED: &str = "larder_feed";
pub(crate) const APP_GROUP: &str = "larder_application";
pub(crate) const FEED_GROUP: &str = "larder_relay";

/// How long a start may take, crash recovery included.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the promises rest on, in containers too …
const SETTINGS: &str = include_str!("../../../deploy/postgres/postgresql.conf");

/// … and what a Postgres on this machine adds.
const LOCAL: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
";

/// Where a Postgres lives and listens.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Its folder: data, log, password and pid file.
    pub folder: PathBuf,
    /// Its port on the loopback interface.
    pub port: u16,
    /// Whether it dies with the thread that started it, and takes no care of its disk: for
    /// tests.
    pub throw_away: bool,
}

/// A Postgres that this library started.
#[derive(Debug)]
pub struct Postgres {
    folder: PathBuf,
    port: u16,
    throw_away: bool,
    password: String,
    identity: Identity,
}

impl Postgres {
    /// Starts it, or finds it running; makes roles, database and extensions; returns when it
    /// answers queries.
    ///
    /// # Errors
    ///
    /// When its programs are missing, its port is taken, or it does not come up.
    pub async fn start(options: &PostgresOptions) -> Result<Self, StackError> {
        let folder = &options.folder;
        std::fs::create_dir_all(folder).map_err(StackError::file(folder))?;
        let password = password(folder)?;
        let running = Identity::load(&pid_file(folder)).filter(Identity::is_alive);
        let identity = match running {
            Some(identity) => identity,
            None => launch(options, &password)?,
        };
        let PostgresOptions { folder, port, throw_away } = options.clone();
        let server = Self { folder, port, throw_away, password, identity };
        server.wait_until_it_answers().await?;
        server.prepare().await?;
        Ok(server)
    }

    /// The one in `folder`, if it runs.
    pub(crate) fn attach(folder: &Path, port: u16) -> Option<Self> {
        let identity = Identity::load(&pid_file(folder)).filter(Identity::is_alive)?;
        let password = std::fs::read_to_string(folder.join("password")).ok()?;
        let folder = folder.to_owned();
        Some(Self { folder, port, throw_away: false, password, identity })
    }

    /// The superuser's URL for `database`.
    #[must_use]
    pub fn admin_url(&self, database: &str) -> String {
        format!("postgres://{ADMIN}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The superuser's URL for the stack's database.
    #[must_use]
    pub fn database_admin_url(&self) -> String {
        self.admin_url(DATABASE)
    }

    /// The application's URL: a role that owns nothing and is counted apart.
    #[must_use]
    pub fn database_url(&self) -> String {
        format!("postgres://{APP}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// The change feed's URL: a role that may read versions and move epochs, no more, and is
    /// counted apart as well.
    #[must_use]
    pub fn database_feed_url(&self) -> String {
        format!("postgres://{FEED}:{}@127.0.0.1:{}/{DATABASE}", self.password, self.port)
    }

    /// Its process id.
    #[must_use]
    pub const fn pid(&self) -> i32 {
        self.identity.pid
    }

    /// Stops it: clients are disconnected, what they committed is on disk.
    pub fn stop(&self) {
        self.identity.stop(Signal::INT, Duration::from_secs(20));
        let _ = std::fs::remove_file(pid_file(&self.folder));
    }

    /// Ends it without any care, as a crash would.
    pub fn kill(&self) {
        // QUIT to the postmaster takes its backends along; KILL would orphan them.
        self.identity.stop(Signal::QUIT, Duration::from_secs(5));
    }

    /// Starts it again after it was stopped or killed, on the same port and with the same data.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn restart(&mut self) -> Result<(), StackError> {
        let Self { folder, port, throw_away, .. } = &*self;
        let options =
            PostgresOptions { folder: folder.clone(), port: *port, throw_away: *throw_away };
        *self = Self::start(&options).await?;
        Ok(())
    }

    async fn wait_until_it_answers(&self) -> Result<(), StackError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reason = match ask(&self.admin_url("postgres")).await {
                Ok(()) => return Ok(()),
                Err(error) => error.to_string(),
            };
            if !self.identity.is_alive() || Instant::now() > deadline {
                let _ = std::fs::remove_file(pid_file(&self.folder));
                let log = tail(&log_file(&self.folder), 15);
                return Err(StackError::NotReady { server: "postgres".to_owned(), reason, log });
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Roles, database, extensions: made where they are missing.
    async fn prepare(&self) -> Result<(), StackError> {
        let mut server = PgConnection::connect(&self.admin_url("postgres")).await?;
        // Each time: a database from before may lack roles that came later.
        for (login, group) in [(APP, APP_GROUP), (FEED, FEED_GROUP)] {
            make_role(&mut server, group, "NOLOGIN").await?;
            let attributes = format!("LOGIN PASSWORD '{}' IN ROLE {group}", self.password);
            make_role(&mut server, login, &attributes).await?;
        }
        let made: bool =
            sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
                .bind(DATABASE)
                .fetch_one(&mut server)
                .await?;
        if !made {
            let mut template = PgConnection::connect(&self.admin_url("template1")).await?;
            let counts = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
            run(&mut template, counts.to_owned()).await?;
            template.close().await?;
            // Last: its presence says that all of this is done.
            run(&mut server, format!("CREATE DATABASE {DATABASE}")).await?;
        }
        server.close().await?;
        Ok(())
    }
}

/// Makes a role where it is missing. Roles belong to the whole server: another session may be
/// first.
pub(crate) async fn make_role(
    connection: &mut PgConnection,
    role: &str,
    attributes: &str,
) -> Result<(), StackError> {
    let sql = format!(
        "DO $$ BEGIN
             IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
                 CREATE ROLE {role} {attributes};
             END IF;
         EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
    );
    run(connection, sql).await
}

/// Runs SQL of this module's own making.
pub(crate) async fn run(connection: &mut PgConnection, sql: String) -> Result<(), StackError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(())
}

async fn ask(url: &str) -> Result<(), sqlx::Error> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query("SELECT 1").execute(&mut connection).await?;
    connection.close().await
}

fn launch(options: &PostgresOptions, password: &str) -> Result<Identity, StackError> {
    require_free(options.port, "Postgres", "LARDER_STACK_POSTGRES_PORT")?;
    let binaries = Binaries::find()?;
    let user = RunAs::unprivileged()?;
    let data = user.reachable(&options.folder.join("data"))?;
    if !data.join("PG_VERSION").exists() {
        initialise(options, &binaries, &user, &data, password)?;
    }
    // Left by a crash; Postgres would refuse to start if its process id were taken by now.
    let _ = std::fs::remove_file(data.join("postmaster.pid"));

    let mut command = user.command(&binaries.postgres, options.throw_away.then_some("QUIT"));
    command.arg("-D").arg(&data).arg("-p").arg(options.port.to_string());
    command.current_dir("/");
    let identity = spawn(command, &log_file(&options.folder))?;
    identity.save(&pid_file(&options.folder))?;
    Ok(identity)
}

fn initialise(
    options: &PostgresOptions,
    binaries: &Binaries,
    user: &RunAs,
    data: &Path,
    password: &str,
) -> Result<(), StackError> {
    if data.exists() {
        // Half made: initdb refuses a folder that is not empty.
        std::fs::remove_dir_all(data).map_err(StackError::file(data))?;
    }
    std::fs::create_dir_all(data).map_err(StackError::file(data))?;
    user.own(data)?;
    // A file of that user's own: an argument would be seen by everybody, and it may not open
    // the caller's.
    let secret = data.with_extension("password");
    write_secret(&secret, password)?;
    user.own(&secret)?;
    let mut command = user.command(&binaries.initdb, None);
    command
        .arg("-D")
        .arg(data)
        .args(["-U", ADMIN, "-E", "UTF8", "--no-locale", "--auth=scram-sha-256", "--no-sync"])
        .arg("--pwfile")
        .arg(&secret)
        .current_dir("/");
    let output = command.output().map_err(StackError::run("initdb"))?;
    let _ = std::fs::remove_file(&secret);
    if !output.status.success() {
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(StackError::Run { program: "initdb".to_owned(), reason });
    }
    let mut settings = [SETTINGS, LOCAL].concat();
    if options.throw_away {
        // Tests read back what they commit, but nothing survives the machine.
        writeln!(settings, "fsync = off\nfull_page_writes = off").expect("writes to a String");
    }
    let file = data.join("postgresql.auto.conf");
    std::fs::write(&file, settings).map_err(StackError::file(&file))?;
    user.own(&file)
}

/// The password in `folder`, made up when there is none.
fn password(folder: &Path) -> Result<String, StackError> {
    let path = folder.join("password");
    if let Ok(known) = std::fs::read_to_string(&path) {
        return Ok(known);
    }
    let fresh = format!("{:032x}", rand::rng().random::<u128>());
    write_secret(&path, &fresh)?;
    Ok(fresh)
}

/// Writes a file that only its owner can read.
fn write_secret(path: &Path, secret: &str) -> Result<(), StackError> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;

    let _ = std::fs::remove_file(path);
    let mut options = std::fs::OpenOptions::new();
    let file = options.create_new(true).write(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(secret.as_bytes())).map_err(StackError::file(path))
}
