//! Every statement is counted once, and Postgres's own count agrees.

use std::time::Duration;

use futures_util::TryStreamExt;
use larder_postgres::{DatabaseOptions, Purpose, Totals};
use larder_stack::testing;
use sqlx::{Connection, Executor, Row};

use crate::support::{Fixture, READ, WRITE, admin, fixture};

async fn insert(fixture: &Fixture, id: i64, amount: i32) -> Result<(), sqlx::Error> {
    sqlx::query("INSERT INTO things (id, amount) VALUES ($1, $2)")
        .bind(id)
        .bind(amount)
        .execute(fixture.db.counted(WRITE))
        .await
        .map(drop)
}

fn outcome(completed: u64, failed: u64, unknown: u64) -> Totals {
    Totals { completed, failed, unknown, in_flight: 0 }
}

#[tokio::test]
async fn completed_statements_are_exactly_what_postgres_counted() {
    if testing::skip_without_servers("completed_statements_are_exactly_what_postgres_counted") {
        return;
    }
    let fixture = fixture(|o: &mut DatabaseOptions| {
        o.statement_timeout = Duration::from_millis(300);
        o.max_connections = 4;
    })
    .await;
    let db = &fixture.db;

    // Good ones: every way to fetch, one row, many, none.
    for id in 0..40 {
        insert(&fixture, id, 1).await.expect("inserts");
    }
    let by_id = "SELECT id FROM things WHERE id = $1";
    sqlx::query(by_id).bind(1_i64).fetch_one(db.counted(READ)).await.expect("is there");
    sqlx::query(by_id).bind(-1_i64).fetch_optional(db.counted(READ)).await.expect("answers");
    let all = sqlx::query("SELECT id FROM things").fetch_all(db.counted(READ)).await;
    assert_eq!(all.expect("answers").len(), 40);
    let streamed: Vec<i64> = sqlx::query("SELECT id FROM things")
        .fetch(db.counted(READ))
        .map_ok(|row| row.get::<i64, _>(0))
        .try_collect()
        .await
        .expect("answers");
    assert_eq!(streamed.len(), 40);
    // A missing row is the caller's error, not the statement's.
    let missing = sqlx::query(by_id).bind(-1_i64).fetch_one(db.counted(READ)).await;
    assert!(matches!(missing, Err(sqlx::Error::RowNotFound)), "{missing:?}");
    assert_eq!(db.ledger().totals(), outcome(45, 0, 0));

    // Bad ones: constraints, syntax, an unknown table, a timeout, an error after some rows.
    assert!(insert(&fixture, 1, 1).await.is_err(), "duplicate key");
    assert!(insert(&fixture, 100, -1).await.is_err(), "check");
    for wrong in ["SELEKT 1", "SELECT * FROM nowhere", "SELECT pg_sleep(5)"] {
        assert!(sqlx::query(wrong).fetch_all(db.counted(READ)).await.is_err(), "{wrong}");
    }
    let late = sqlx::query("SELECT 100 / (20 - id) FROM things ORDER BY id")
        .fetch_all(db.counted(READ))
        .await;
    assert!(late.is_err(), "division by zero in the 21st row");
    assert_eq!(db.ledger().totals(), outcome(45, 6, 0));

    // Transactions, rolled back ones included; BEGIN, COMMIT and ROLLBACK are not statements.
    let mut kept = db.begin().await.expect("begins");
    kept.counted(WRITE).execute("UPDATE things SET amount = 2").await.expect("updates");
    kept.commit().await.expect("commits");
    let mut undone = db.begin().await.expect("begins");
    undone.counted(WRITE).execute("UPDATE things SET amount = 3").await.expect("updates");
    undone.rollback().await.expect("rolls back");
    let mut aborted = db.begin().await.expect("begins");
    assert!(aborted.counted(WRITE).execute("SELECT 1/0").await.is_err());
    assert!(aborted.counted(WRITE).execute("SELECT 1").await.is_err(), "aborted transaction");
    drop(aborted);
    assert_eq!(db.ledger().totals(), outcome(47, 8, 0));

    // Several statements in one simple query are several statements.
    db.counted(WRITE)
        .execute(sqlx::raw_sql("SELECT 1; SELECT 2; UPDATE things SET amount = 4"))
        .await
        .expect("runs");

    // Many at once.
    let storm: Vec<_> = (0..200)
        .map(|n| {
            let db = db.clone();
            tokio::spawn(async move {
                let id: i64 = if n % 10 == 0 { 1 } else { 1_000 + n };
                let insert = sqlx::query("INSERT INTO things (id, amount) VALUES ($1, 1)");
                insert.bind(id).execute(db.counted(WRITE)).await.is_ok()
            })
        })
        .collect();
    let mut inserted = 0;
    for task in storm {
        inserted += u64::from(task.await.expect("no panic"));
    }
    assert_eq!(inserted, 180);
    assert_eq!(db.ledger().totals(), outcome(50 + 180, 8 + 20, 0));
    assert_eq!(fixture.database.counted().await, 230);
}

#[tokio::test]
async fn with_dropped_futures_and_lost_connections_the_count_stays_within_its_bounds() {
    if testing::skip_without_servers("with_dropped_futures_and_lost_connections") {
        return;
    }
    let fixture = fixture(|o: &mut DatabaseOptions| o.max_connections = 3).await;
    let db = &fixture.db;

    // Dropped while Postgres works on it: it will still finish there.
    for _ in 0..3 {
        let slow = sqlx::query("SELECT pg_sleep(0.2)").execute(db.counted(READ));
        assert!(tokio::time::timeout(Duration::from_millis(50), slow).await.is_err());
    }
    assert_eq!(db.ledger().totals(), outcome(0, 0, 3));

    // The backend is ended while it works.
    let killed = tokio::spawn({
        let db = db.clone();
        async move { sqlx::query("SELECT pg_sleep(30)").execute(db.counted(READ)).await }
    });
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut admin = admin(&fixture.database).await;
    sqlx::query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE usename = $1 AND query LIKE '%pg_sleep(30)%'",
    )
    .bind(&fixture.database.app_role)
    .execute(&mut admin)
    .await
    .expect("terminates");
    assert!(killed.await.expect("no panic").is_err());

    // A stream that its reader leaves after the first row.
    let mut stream = sqlx::query("SELECT generate_series(1, 100000)").fetch(db.counted(READ));
    assert!(stream.try_next().await.expect("a row").is_some());
    drop(stream);

    for _ in 0..10 {
        sqlx::query("SELECT 1").execute(db.counted(READ)).await.expect("the pool recovers");
    }
    let totals = db.ledger().totals();
    assert_eq!((totals.completed, totals.in_flight), (10, 0), "{totals:?}");
    assert_eq!(totals.failed + totals.unknown, 5, "{totals:?}");
    let counted = fixture.database.counted().await;
    let bounds = totals.completed..=totals.completed + totals.unknown;
    assert!(bounds.contains(&counted), "{counted} not within {bounds:?}");
}

#[tokio::test]
async fn a_statement_that_never_reached_postgres_has_failed() {
    if testing::skip_without_servers("a_statement_that_never_reached_postgres_has_failed") {
        return;
    }
    let fixture = fixture(|o: &mut DatabaseOptions| {
        o.max_connections = 1;
        // The first connection must be made within it, on a busy machine too.
        o.acquire_timeout = Duration::from_secs(2);
    })
    .await;
    let holding = fixture.db.begin().await.expect("begins");
    let waited = sqlx::query("SELECT 1").execute(fixture.db.counted(READ)).await;
    assert!(matches!(waited, Err(sqlx::Error::PoolTimedOut)), "{waited:?}");
    drop(holding);
    assert_eq!(fixture.db.ledger().totals(), outcome(0, 1, 0));
    assert_eq!(fixture.database.counted().await, 0);
}

#[tokio::test]
async fn rows_carry_the_strategy_of_their_namespace() {
    if testing::skip_without_servers("rows_carry_the_strategy_of_their_namespace") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let read = || sqlx::query("SELECT 1").execute(fixture.db.counted(READ));
    read().await.expect("answers");
    fixture.db.ledger().set_strategy("thing", "cache-aside");
    read().await.expect("answers");
    read().await.expect("answers");
    let rows = fixture.db.ledger().rows();
    let counts: Vec<_> = rows.iter().map(|r| (r.strategy, r.totals.completed)).collect();
    assert_eq!(counts, [("cache-aside", 2), ("none", 1)]);
    assert!(rows.iter().all(|row| row.statement.purpose == Purpose::Load));
}

#[tokio::test]
async fn the_pool_recovers_when_its_idle_connections_were_ended() {
    if testing::skip_without_servers("the_pool_recovers_when_its_idle_connections_were_ended") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let read = || sqlx::query("SELECT 1").execute(fixture.db.counted(READ));
    read().await.expect("answers");
    let mut admin = admin(&fixture.database).await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1")
        .bind(&fixture.database.app_role)
        .execute(&mut admin)
        .await
        .expect("terminates");
    admin.close().await.expect("closes");
    // Idle for longer than the pool trusts a connection untested.
    tokio::time::sleep(Duration::from_millis(700)).await;
    read().await.expect("a dead idle connection is found out before it is used");
}
