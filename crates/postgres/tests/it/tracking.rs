//! Tables are tracked, mapped anew and untracked while they are in use.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use larder::{Feed, Version};
use larder_postgres::Database;
use larder_stack::testing;
use rand::RngExt;
use sqlx::{Executor, PgConnection};

use crate::support::{Fixture, READ, WRITE, admin, fixture, run};

const STOCK: &str = "
    CREATE TABLE stock (id bigint PRIMARY KEY, amount bigint NOT NULL);
    GRANT SELECT, UPDATE ON stock TO larder_application;
    INSERT INTO stock SELECT n, 0 FROM generate_series(1, 400) n";

const TRACK: &str = "SELECT larder.track('stock', 'stock', 'SELECT id::text FROM changed')";

/// One statement, one snapshot.
const LOAD: &str = "
    SELECT s.id, s.amount, coalesce(v.version, 0),
        coalesce((SELECT epoch FROM larder.epochs WHERE namespace = 'stock'), 0)
    FROM stock s LEFT JOIN larder.versions v ON v.namespace = 'stock' AND v.key = s.id::text";

type Cache = BTreeMap<i64, (Version, i64)>;

async fn load(db: &Database) -> Cache {
    let rows: Vec<(i64, i64, i64, i32)> =
        sqlx::query_as(LOAD).fetch_all(db.counted(READ)).await.expect("loads");
    rows.into_iter()
        .map(|(id, amount, counter, epoch)| {
            (id, (Version::new(epoch.unsigned_abs(), counter.unsigned_abs()), amount))
        })
        .collect()
}

/// Moves single rows in transactions that stay open for some milliseconds.
async fn write(db: Database, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Acquire) {
        let mut transaction = db.begin().await.expect("begins");
        let id: i64 = rand::rng().random_range(1..401);
        sqlx::query("UPDATE stock SET amount = amount + 1 WHERE id = $1")
            .bind(id)
            .execute(transaction.counted(WRITE))
            .await
            .expect("updates");
        let open_ms = rand::rng().random_range(0..5);
        tokio::time::sleep(Duration::from_millis(open_ms)).await;
        transaction.commit().await.expect("commits");
    }
}

async fn epoch(admin: &mut PgConnection, namespace: &str) -> i32 {
    sqlx::query_scalar("SELECT epoch FROM larder.epochs WHERE namespace = $1")
        .bind(namespace)
        .fetch_one(admin)
        .await
        .expect("readable")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_tracked_under_load_leaves_nothing_stale() {
    if testing::skip_without_servers("a_table_tracked_under_load_leaves_nothing_stale") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, STOCK).await;
    let feed = fixture.feed("test").await;
    let mut place = feed.claim().await.expect("claims").expect("is free");
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|_| tokio::spawn(write(fixture.db.clone(), Arc::clone(&stop)))).collect();

    // A cache that keeps what it loads, and throws away what the feed says is old. Nothing says
    // so before the table is tracked.
    let mut cache = load(&fixture.db).await;
    while stale(&cache, &load(&fixture.db).await) < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run(&mut admin, TRACK).await;
    for _ in 0..10 {
        let batch = feed.since(&place, 1_000).await.expect("reads");
        forget(&mut cache, &batch);
        place = batch.place;
        for (id, loaded) in load(&fixture.db).await {
            cache.entry(id).or_insert(loaded);
        }
    }
    stop.store(true, Ordering::Release);
    for writer in writers {
        writer.await.expect("no panic");
    }
    let batch = feed.since(&place, 1_000).await.expect("reads");
    forget(&mut cache, &batch);
    assert!(cache.len() > 100, "not everything was thrown away: {}", cache.len());
    assert_eq!(stale(&cache, &load(&fixture.db).await), 0);
}

/// How many values of `cache` are not those of now.
fn stale(cache: &Cache, now: &Cache) -> usize {
    cache.iter().filter(|(id, (_, amount))| now[*id].1 != *amount).count()
}

fn forget(cache: &mut Cache, batch: &larder::Batch) {
    for (namespace, epoch) in &batch.epochs {
        if namespace == "stock" {
            cache.retain(|_, (version, _)| version.epoch >= *epoch);
        }
    }
    for change in &batch.changes {
        let id: i64 = change.key.parse().expect("a number");
        if change.namespace == "stock" && cache.get(&id).is_some_and(|(v, _)| *v < change.version) {
            cache.remove(&id);
        }
    }
}

#[tokio::test]
async fn tracking_mapping_anew_and_untracking_are_barriers() {
    if testing::skip_without_servers("tracking_mapping_anew_and_untracking_are_barriers") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, STOCK).await;
    let mut epochs = Vec::new();
    for step in [
        TRACK,
        "SELECT larder.track('stock', 'stock', 'SELECT (id / 2)::text FROM changed')",
        "SELECT larder.track('things', 'stock', 'SELECT id::text FROM changed')",
        "SELECT larder.untrack('things', 'stock')",
        // There is nothing left to untrack.
        "SELECT larder.untrack('things', 'stock')",
    ] {
        run(&mut admin, step).await;
        epochs.push(epoch(&mut admin, "stock").await);
    }
    assert_eq!(epochs, [1, 2, 3, 4, 4]);
    run(&mut admin, "UPDATE stock SET amount = 1 WHERE id = 9").await;
    let keys: Vec<String> =
        sqlx::query_scalar("SELECT key FROM larder.versions WHERE namespace = 'stock'")
            .fetch_all(&mut admin)
            .await
            .expect("readable");
    assert_eq!(keys, ["4"], "the new mapping, and no longer the old one");
}

#[tokio::test]
async fn a_mapping_that_cannot_run_is_refused_before_it_stops_writers() {
    if testing::skip_without_servers("a_mapping_that_cannot_run_is_refused") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, STOCK).await;
    for sql in [
        "SELECT larder.track('stock', 'stock', 'SELECT idd::text FROM changed')",
        "SELECT larder.track('stock', 'stock', 'SELECT FROM changed')",
        // Without its schema, as the trigger would not find it.
        "SELECT larder.track('stock', 'stock', 'SELECT s.id::text FROM stock s JOIN changed c USING (id)')",
        "SELECT larder.track('stock', '', 'SELECT id::text FROM changed')",
    ] {
        admin.execute(sql).await.expect_err(sql);
    }
    run(&mut admin, "UPDATE stock SET amount = 1").await;
    assert_eq!(lasting_triggers(&mut admin).await, 0);
}

async fn lasting_triggers(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'stock'::regclass")
        .fetch_one(admin)
        .await
        .expect("readable")
}

#[tokio::test]
async fn tracking_gives_up_behind_a_long_transaction_and_lets_writers_go_on() {
    if testing::skip_without_servers("tracking_gives_up_behind_a_long_transaction") {
        return;
    }
    let Fixture { db, database, .. } = &fixture(|_| {}).await;
    let mut admin = admin(database).await;
    run(&mut admin, STOCK).await;
    let update = "UPDATE stock SET amount = amount + 1 WHERE id = 1";
    let mut long = db.begin().await.expect("begins");
    long.counted(WRITE).execute(update).await.expect("updates");
    // A reader is in nobody's way.
    let mut reader = db.begin().await.expect("begins");
    reader.counted(READ).execute("SELECT FROM stock").await.expect("reads");

    let error = admin.execute(TRACK).await.expect_err("the table is in use");
    let error = error.as_database_error().expect("Postgres says so");
    assert_eq!(error.code().as_deref(), Some("55P03"));
    let expected = "larder.track: stock is in use by another transaction for longer than 1s, \
                    nothing was changed";
    assert_eq!(error.message().replace("public.", ""), expected);
    assert_eq!(lasting_triggers(&mut admin).await, 0);
    let timeout: String =
        sqlx::query_scalar("SHOW lock_timeout").fetch_one(&mut admin).await.expect("readable");
    assert_eq!(timeout, "0", "the session's own setting is as before");

    long.commit().await.expect("commits");
    run(&mut admin, TRACK).await;
    assert_eq!(lasting_triggers(&mut admin).await, 4);
}
