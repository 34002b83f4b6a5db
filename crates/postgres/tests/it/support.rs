//! A database with Larder's schema and one tracked table.

use std::time::Duration;

use larder_postgres::{Database, DatabaseOptions, FeedOptions, PostgresFeed, Purpose, Statement};
use larder_stack::testing::{self, TestDatabase, TestPostgres};
use sqlx::{Connection, Executor, PgConnection};

const LARDER: [&str; 5] = [
    include_str!("../../../../migrations/0001_larder.sql"),
    include_str!("../../../../migrations/0003_feed.sql"),
    include_str!("../../../../migrations/0005_journal.sql"),
    include_str!("../../../../migrations/0008_strategies.sql"),
    include_str!("../../../../migrations/0011_reports.sql"),
];

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
    for migration in LARDER {
        admin.execute(sqlx::raw_sql(migration)).await.expect("the migration applies");
    }
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
    /// The feed `name`, as its own role.
    pub(crate) async fn feed(&self, name: &str) -> PostgresFeed {
        let options = DatabaseOptions::new(self.database.feed_url.clone());
        let db = Database::new(&options).expect("the options are valid");
        // Longer than any test: a lease ends when a test says so.
        let options = FeedOptions { lease: Duration::from_secs(3_600) };
        PostgresFeed::open(db, name, &options).await.expect("the feed opens")
    }
}

/// Runs SQL as the administrator.
pub(crate) async fn run(admin: &mut PgConnection, sql: &'static str) {
    admin.execute(sqlx::raw_sql(sql)).await.expect(sql);
}
