//! What the change feed tells: everything that was committed, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use larder::{Batch, Feed, Place, Version};
use larder_postgres::{Database, PostgresFeed};
use larder_stack::testing;
use rand::RngExt;
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use tokio::time::sleep;

use crate::support::{WRITE, admin, fixture, run};

/// Where the feed stands: what was told so far is not told again.
async fn here(feed: &PostgresFeed) -> Place {
    let place = feed.claim().await.expect("claims").expect("is free");
    feed.since(&place, 1_000).await.expect("reads").place
}

/// `namespace/key` of each change, in order.
fn keys(batch: &Batch) -> Vec<String> {
    let keys: BTreeSet<_> =
        batch.changes.iter().map(|change| format!("{}/{}", change.namespace, change.key)).collect();
    keys.into_iter().collect()
}

/// The committed versions of `thing`.
async fn committed(admin: &mut PgConnection) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> =
        sqlx::query_as("SELECT key, version FROM larder.versions WHERE namespace = 'thing'")
            .fetch_all(admin)
            .await
            .expect("readable");
    rows.into_iter().collect()
}

/// A transaction of some statements, some undone to a savepoint, open for a while, and in one of
/// four cases rolled back.
async fn write(db: &Database) -> Result<(), sqlx::Error> {
    let ids: BTreeSet<i64> =
        (0..rand::rng().random_range(1..5)).map(|_| rand::rng().random_range(0..40)).collect();
    let mut transaction = db.begin().await?;
    // In order, so that the writers do not deadlock on the rows themselves.
    for id in ids {
        let savepoint = rand::rng().random_bool(0.3);
        if savepoint {
            transaction.counted(WRITE).execute("SAVEPOINT before").await?;
        }
        let step = match rand::rng().random_range(0..3) {
            0 => format!("DELETE FROM things WHERE id = {id}"),
            _ => format!(
                "INSERT INTO things (id, amount) VALUES ({id}, 0)
                 ON CONFLICT (id) DO UPDATE SET amount = things.amount + 1"
            ),
        };
        transaction.counted(WRITE).execute(AssertSqlSafe(step)).await?;
        if savepoint && rand::rng().random_bool(0.5) {
            transaction.counted(WRITE).execute("ROLLBACK TO before").await?;
        }
        let open_ms = rand::rng().random_range(0..15);
        sleep(Duration::from_millis(open_ms)).await;
    }
    let kept = rand::rng().random_bool(0.75);
    if kept { transaction.commit().await } else { transaction.rollback().await }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_missed_and_nothing_uncommitted_is_told() {
    if testing::skip_without_servers("nothing_is_missed_and_nothing_uncommitted_is_told") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let mut place = here(&feed).await;

    let writing = Arc::new(AtomicUsize::new(8));
    let writers: Vec<_> = (0..8)
        .map(|_| {
            let (db, writing) = (fixture.db.clone(), Arc::clone(&writing));
            tokio::spawn(async move {
                for _ in 0..40 {
                    write(&db).await.expect("writes");
                }
                writing.fetch_sub(1, Ordering::AcqRel);
            })
        })
        .collect();
    let mut told: BTreeMap<String, i64> = BTreeMap::new();
    let mut last = false;
    while !last {
        last = writing.load(Ordering::Acquire) == 0;
        let batch = feed.since(&place, 1_000).await.expect("reads");
        let now = committed(&mut admin).await;
        for change in batch.changes {
            let counter = i64::try_from(change.version.counter).expect("small");
            let known = now.get(&change.key).copied().unwrap_or_default();
            assert!(counter <= known, "{} is told as {counter}, committed is {known}", change.key);
            let before = told.insert(change.key, counter).unwrap_or_default();
            assert!(counter > before, "told twice, or backwards: {before}, then {counter}");
        }
        place = batch.place;
        let pause = rand::rng().random_range(0..5);
        sleep(Duration::from_millis(pause)).await;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_eq!(told, committed(&mut admin).await);
    assert!(told.values().sum::<i64>() > 200, "the writers did write: {told:?}");
}

#[tokio::test]
async fn a_transaction_open_for_long_delays_its_own_keys_alone() {
    if testing::skip_without_servers("a_transaction_open_for_long_delays_its_own_keys_alone") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, "INSERT INTO things (id) VALUES (1), (2), (3)").await;
    let feed = fixture.feed("test").await;
    let place = here(&feed).await;

    let mut long = fixture.db.begin().await.expect("begins");
    let update = "UPDATE things SET amount = 1 WHERE id = 1";
    long.counted(WRITE).execute(update).await.expect("updates");
    run(&mut admin, "UPDATE things SET amount = 1 WHERE id = 2").await;
    let others = feed.since(&place, 10).await.expect("reads");
    assert_eq!(keys(&others), ["thing/2"]);
    let again = feed.since(&others.place, 10).await.expect("reads");
    assert_eq!(keys(&again), Vec::<String>::new(), "and are not told again");

    run(&mut admin, "UPDATE things SET amount = 1 WHERE id = 3").await;
    long.commit().await.expect("commits");
    let late = feed.since(&again.place, 10).await.expect("reads");
    assert_eq!(keys(&late), ["thing/1", "thing/3"]);
    let after = feed.since(&late.place, 10).await.expect("reads");
    assert_eq!(keys(&after), Vec::<String>::new());
}

#[tokio::test]
async fn more_changes_than_the_limit_are_told_as_an_overflow_of_their_namespace() {
    if testing::skip_without_servers("more_changes_than_the_limit_are_told_as_an_overflow") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let place = here(&feed).await;
    let insert = "INSERT INTO things (id, parent) SELECT n, 7 FROM generate_series(1, 50) n";
    run(&mut admin, insert).await;

    let batch = feed.since(&place, 49).await.expect("reads");
    assert_eq!(batch.overflown, ["thing"]);
    assert_eq!(keys(&batch), ["family/7"], "the other namespace is not concerned");
    assert_eq!(batch.epochs, []);
    let batch = feed.since(&place, 50).await.expect("reads");
    assert_eq!(batch.overflown, Vec::<String>::new());
    assert_eq!(batch.changes.len(), 51);
    // Whoever cleared the namespace goes on behind the bulk.
    let batch = feed.since(&batch.place, 49).await.expect("reads");
    assert_eq!((batch.changes, batch.overflown), (vec![], vec![]));
}

#[tokio::test]
async fn truncate_and_clear_are_told_as_epochs() {
    if testing::skip_without_servers("truncate_and_clear_are_told_as_epochs") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let place = here(&feed).await;
    let before: BTreeMap<_, _> = feed.epochs().await.expect("reads").into_iter().collect();

    run(&mut admin, "TRUNCATE things").await;
    let batch = feed.since(&place, 10).await.expect("reads");
    let expected: BTreeMap<_, _> =
        before.iter().map(|(namespace, epoch)| (namespace.clone(), epoch + 1)).collect();
    assert_eq!(BTreeMap::from_iter(batch.epochs), expected);
    assert_eq!(batch.changes, []);

    feed.clear(&["thing".to_owned(), "thing".to_owned()]).await.expect("clears");
    let batch = feed.since(&batch.place, 10).await.expect("reads");
    let [(namespace, epoch)] = batch.epochs.as_slice() else { panic!("{batch:?}") };
    assert_eq!(namespace, "thing");
    assert!(*epoch > expected["thing"], "{epoch}");
    assert!(feed.clear(&["no such".to_owned()]).await.is_err());

    // Changes come with the epoch that they were read in.
    run(&mut admin, "INSERT INTO things (id) VALUES (1)").await;
    let batch = feed.since(&batch.place, 10).await.expect("reads");
    assert_eq!(batch.changes[0].version, Version::new(*epoch, 1));
    assert_eq!(batch.epochs, []);
}

#[tokio::test]
async fn a_key_that_comes_back_has_a_newer_version_than_it_had() {
    if testing::skip_without_servers("a_key_that_comes_back_has_a_newer_version") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let mut place = here(&feed).await;
    let mut newest = Version::default();
    for _ in 0..3 {
        for step in [
            "INSERT INTO things (id) VALUES (1)",
            "DELETE FROM things WHERE id = 1",
            "INSERT INTO things (id) VALUES (1)",
            "SELECT larder.untrack('things', 'thing')",
            "SELECT larder.track('things', 'thing', 'SELECT id::text FROM changed')",
            "UPDATE things SET amount = 2 WHERE id = 1",
            "TRUNCATE things",
        ] {
            run(&mut admin, step).await;
            let batch = feed.since(&place, 10).await.expect("reads");
            for change in batch.changes {
                assert!(change.version > newest, "{step}: {newest}, then {}", change.version);
                newest = change.version;
            }
            place = batch.place;
        }
    }
}

#[tokio::test]
async fn reading_on_never_scans_the_version_table() {
    if testing::skip_without_servers("reading_on_never_scans_the_version_table") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let insert = "INSERT INTO things (id) SELECT n FROM generate_series(1, 20000) n; ANALYZE";
    run(&mut admin, insert).await;
    let place = here(&feed).await;
    // Often enough for a cached plan, which does not know how little is new.
    run(&mut admin, "BEGIN").await;
    for _ in 0..10 {
        sqlx::query("SELECT larder.feed_since($1, 10)")
            .bind(place.as_str())
            .execute(&mut admin)
            .await
            .expect("reads");
    }
    let (scans, looks): (i64, i64) = sqlx::query_as(
        "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables
         WHERE relid = 'larder.versions'::regclass",
    )
    .fetch_one(&mut admin)
    .await
    .expect("readable");
    assert_eq!(scans, 0);
    assert!(looks >= 10, "{looks}");
}
