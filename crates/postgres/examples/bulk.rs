//! What versions cost a bulk update, and what the change feed costs, on a Postgres of this
//! machine: `cargo run -p larder-postgres --example bulk`.
//!
//! Tracked and untracked run in turns on the same rows; compare the ratios, not the times.

use std::time::{Duration, Instant};

use larder::Feed;
use larder_postgres::{Database, DatabaseOptions, FeedOptions, PostgresFeed};
use larder_stack::testing::{self, TestDatabase};
use sqlx::{Connection, Executor, PgConnection};

const ROUNDS: usize = 7;
const POLLS: u32 = 2_000;

const TABLES: &str = "
    CREATE TABLE plain (id bigint PRIMARY KEY, name text, price bigint, description text);
    INSERT INTO plain SELECT n, 'product ' || n, n, repeat('words and words ', 20)
        FROM generate_series(1, 100000) n;
    CREATE TABLE tracked (LIKE plain INCLUDING ALL);
    INSERT INTO tracked SELECT * FROM plain;
    SELECT larder.track('tracked', 'product', 'SELECT id::text FROM changed');
    UPDATE tracked SET price = price + 1;
    -- Keys that nobody changes any more: the feed must not care how many there are.
    INSERT INTO larder.versions
        SELECT 'product', 'old ' || n, 1, pg_current_xact_id(), now()
        FROM generate_series(1, 300000) n";

/// Runs `sql` and takes its time, on a table and an index without dead rows.
async fn timed(admin: &mut PgConnection, sql: &'static str) -> Result<Duration, sqlx::Error> {
    for vacuum in ["VACUUM plain", "VACUUM tracked", "VACUUM larder.versions", "CHECKPOINT"] {
        admin.execute(vacuum).await?;
    }
    let started = Instant::now();
    admin.execute(sql).await?;
    Ok(started.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn bulk(admin: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        times[0].push(timed(admin, "UPDATE plain SET price = price + 1").await?);
        times[1].push(timed(admin, "UPDATE tracked SET price = price + 1").await?);
    }
    let ratios = times[0]
        .iter()
        .zip(&times[1])
        .map(|(plain, tracked)| tracked.as_secs_f64() / plain.as_secs_f64());
    let mut ratios: Vec<f64> = ratios.collect();
    ratios.sort_by(f64::total_cmp);
    let [plain, tracked] = times.map(median);
    println!("update of 100,000 rows, untracked   {plain:>10.1?}");
    println!("update of 100,000 rows, tracked     {tracked:>10.1?}");
    println!("ratio, median of {ROUNDS} pairs           {:>9.1}x", ratios[ROUNDS / 2]);
    Ok(())
}

async fn polls(
    admin: &mut PgConnection,
    database: &TestDatabase,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let db = Database::new(&DatabaseOptions::new(database.feed_url.clone()))?;
    let feed = PostgresFeed::open(db, "bulk", &FeedOptions::default()).await?;
    let place = feed.claim().await?.ok_or("nobody else relays")?;
    let mut place = feed.since(&place, 10_000).await?.place;
    let started = Instant::now();
    for _ in 0..POLLS {
        place = feed.since(&place, 10_000).await?.place;
    }
    println!("idle poll over 400,000 versions     {:>10.1?}", started.elapsed() / POLLS);
    // The rest is this client, in a debug build a slow one, and the way to and fro.
    let inside_ms: f64 = sqlx::query_scalar(
        "SELECT s.mean_exec_time FROM pg_stat_statements s JOIN pg_roles r ON r.oid = s.userid
         WHERE r.rolname = $1 AND s.query LIKE '%feed_since%'",
    )
    .bind(&database.feed_role)
    .fetch_one(&mut *admin)
    .await?;
    println!(
        "  of which within Postgres          {:>10.1?}",
        Duration::from_secs_f64(inside_ms / 1e3)
    );
    for (limit, what) in [(10_000, "an overflow at 10,000"), (100_000, "all 100,000 changes")] {
        admin.execute("UPDATE tracked SET price = price + 1").await?;
        let started = Instant::now();
        let batch = feed.since(&place, limit).await?;
        println!("poll that tells {what:<21}{:>9.1?}", started.elapsed());
        place = batch.place;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let server = testing::postgres().await;
    let database = server.database().await;
    let mut admin = PgConnection::connect(&database.admin_url).await?;
    for migration in [
        include_str!("../../../migrations/0001_larder.sql"),
        include_str!("../../../migrations/0003_feed.sql"),
    ] {
        admin.execute(sqlx::raw_sql(migration)).await?;
    }
    admin.execute(sqlx::raw_sql(TABLES)).await?;
    admin.execute("VACUUM ANALYZE").await?;
    bulk(&mut admin).await?;
    polls(&mut admin, &database).await
}
