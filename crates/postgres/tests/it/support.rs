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
