//! A database with Larder's schema and one tracked table.

use larder_postgres::{Database, DatabaseOptions, Purpose, Statement};
use larder_stack::testing::{self, TestDatabase, TestPostgres};
use sqlx::{Connection, Executor, PgConnection};

const LARDER: &str = include_str!("../../../../migrations/0001_larder.sql");

const THINGS: &str = "
    CREATE TABLE things (id bigint PRIMARY KEY, parent bigint, amount int CHECK (amount >= 0));
    GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON things TO larder_application;
    SELECT larder.track('things', 'thing', 'SELECT id::text FROM changed');
    SELECT larder.track('things', 'family', 'SELECT parent::text FROM changed');";

pub(crate) const READ: Statement = Statement {
    namespace: "thing",
    purpose: Purpose::Load,
    operation: "SELECT",
    collection: "things",
};

pub(crate) const WRITE: Statement = Statement {
    namespace: "thing",
    purpose: Purpose::Write,
    operation: "INSERT",
    collection: "things",
};

/// Dropped in this order: the pool, the database, the server.
pub(crate) struct Fixture {
    pub(crate) db: Database,
    pub(crate) database: TestDatabase,
    _server: TestPostgres,
}

pub(crate) async fn fixture(adjust: impl FnOnce(&mut DatabaseOptions)) -> Fixture {
    let server = testing::postgres().await;
    let database = server.database().await;
    let mut admin = admin(&database).await;
    admin.execute(sqlx::raw_sql(LARDER)).await.expect("the migration applies");
    admin.execute(sqlx::raw_sql(THINGS)).await.expect("the table is made and tracked");
    let mut options = DatabaseOptions::new(database.app_url.clone());
    adjust(&mut options);
    let db = Database::new(&options).expect("the options are valid");
    Fixture { db, database, _server: server }
}

pub(crate) async fn admin(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.admin_url).await.expect("the administrator connects")
}

impl Fixture {
    /// What Postgres has counted for the application's role.
    pub(crate) async fn counted_by_postgres(&self) -> u64 {
        let mut admin = admin(&self.database).await;
        let (calls, dealloc): (i64, i64) = sqlx::query_as(
            "SELECT coalesce(sum(s.calls), 0)::bigint, (SELECT dealloc FROM pg_stat_statements_info)
             FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
             WHERE r.rolname = $1",
        )
        .bind(&self.database.app_role)
        .fetch_one(&mut admin)
        .await
        .expect("pg_stat_statements is readable");
        assert_eq!(dealloc, 0, "pg_stat_statements has thrown entries away");
        calls.unsigned_abs()
    }
}
