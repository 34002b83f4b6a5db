//! A Postgres for tests: databases with roles of their own, and what disturbs them.

use sqlx::{Connection, PgConnection};
use tempfile::TempDir;

use super::{SHARED_POSTGRES, TRIES, folder, unique};
use crate::error::StackError;
use crate::ports::free_range;
use crate::postgres::{APP_GROUP, FEED_GROUP, Postgres, PostgresOptions, make_role, run};

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

/// A transaction of the administrator's that is still open.
#[derive(Debug)]
pub struct OpenTransaction(PgConnection);

/// A lock that the administrator holds on a table: whoever needs the table waits.
#[derive(Debug)]
pub struct TableLock(PgConnection);

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

/// `url` with another database's name.
fn with_database(url: &str, name: &str) -> String {
    let server = url.rsplit_once('/').map_or(url, |(server, _)| server);
    format!("{server}/{name}")
}
