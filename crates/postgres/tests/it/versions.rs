//! Versions move with every committed change, never back, whoever made it.

use larder::Version;
use larder_postgres::{adopt_strategy, changes};
use larder_stack::testing;
use sqlx::{Executor, PgConnection};

use crate::support::{WRITE, admin, fixture, run};

async fn version(admin: &mut PgConnection, namespace: &str, key: &str) -> i64 {
    sqlx::query_scalar(
        "SELECT coalesce(max(version), 0) FROM larder.versions WHERE namespace = $1 AND key = $2",
    )
    .bind(namespace)
    .bind(key)
    .fetch_one(admin)
    .await
    .expect("readable")
}

#[tokio::test]
async fn every_kind_of_change_moves_the_version_and_none_moves_it_back() {
    if testing::skip_without_servers("every_kind_of_change_moves_the_version") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    assert_eq!(version(&mut admin, "thing", "1").await, 0);
    let steps = [
        "INSERT INTO things (id, parent) VALUES (1, 7), (2, 7)",
        "UPDATE things SET amount = 5 WHERE id = 1",
        "DELETE FROM things WHERE id = 1",
        "INSERT INTO things (id, parent) VALUES (1, 8)",
        // The key itself changes: the old one and the new one have both changed.
        "UPDATE things SET id = 3 WHERE id = 1",
    ];
    for (done, step) in steps.into_iter().enumerate() {
        run(&mut admin, step).await;
        let expected = i64::try_from(done).expect("few") + 1;
        assert_eq!(version(&mut admin, "thing", "1").await, expected, "{step}");
    }
    assert_eq!(version(&mut admin, "thing", "2").await, 1);
    assert_eq!(version(&mut admin, "thing", "3").await, 1);
    // Both rows of the first statement are of one family: one statement, one step.
    assert_eq!(version(&mut admin, "family", "7").await, 3);
}

#[tokio::test]
async fn truncate_is_a_barrier_for_the_namespace() {
    if testing::skip_without_servers("truncate_is_a_barrier_for_the_namespace") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, "INSERT INTO things (id) VALUES (1)").await;
    run(&mut admin, "TRUNCATE things").await;
    let epochs: Vec<(String, i32)> =
        sqlx::query_as("SELECT namespace, epoch FROM larder.epochs ORDER BY namespace")
            .fetch_all(&mut admin)
            .await
            .expect("readable");
    assert_eq!(epochs, [("family".to_owned(), 2), ("thing".to_owned(), 2)]);
    assert_eq!(version(&mut admin, "thing", "1").await, 1, "versions are kept");
}

#[tokio::test]
async fn a_transaction_knows_what_it_changed_and_nothing_else() {
    if testing::skip_without_servers("a_transaction_knows_what_it_changed") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, "INSERT INTO things (id, parent) VALUES (1, 7), (2, 7)").await;

    let mut transaction = fixture.db.begin().await.expect("begins");
    assert_eq!(changes(&mut transaction).await.expect("readable"), []);
    for update in ["UPDATE things SET amount = 1 WHERE id = 1", "DELETE FROM things WHERE id = 1"] {
        transaction.counted(WRITE).execute(update).await.expect("changes");
    }
    let found = changes(&mut transaction).await.expect("readable");
    let found: Vec<_> =
        found.iter().map(|c| (c.namespace.as_str(), c.key.as_str(), c.version)).collect();
    assert_eq!(found, [("family", "7", Version::new(1, 3)), ("thing", "1", Version::new(1, 3))]);

    // Rolled back, it has changed nothing.
    transaction.rollback().await.expect("rolls back");
    assert_eq!(version(&mut admin, "thing", "1").await, 1);
}

#[tokio::test]
async fn statements_that_touch_the_same_keys_in_any_order_never_deadlock() {
    if testing::skip_without_servers("statements_that_touch_the_same_keys_never_deadlock") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(
        &mut admin,
        "INSERT INTO things (id, parent) SELECT n, n % 5 FROM generate_series(1, 40) n",
    )
    .await;
    let writers: Vec<_> = (0..8_i64)
        .map(|writer| {
            let db = fixture.db.clone();
            tokio::spawn(async move {
                for round in 0..25_i64 {
                    // Disjoint rows, so rows never block; shared families, in changing order.
                    sqlx::query("UPDATE things SET amount = $2 WHERE id % 8 = $1")
                        .bind(writer)
                        .bind(i32::try_from(round).expect("small"))
                        .execute(db.counted(WRITE))
                        .await
                        .expect("no deadlock");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let families: i64 = sqlx::query_scalar(
        "SELECT sum(version)::bigint FROM larder.versions WHERE namespace = 'family'",
    )
    .fetch_one(&mut admin)
    .await
    .expect("readable");
    assert_eq!(families, 5 + 8 * 25 * 5);
}

#[tokio::test]
async fn an_untracked_table_stops_moving_versions_and_keeps_them() {
    if testing::skip_without_servers("an_untracked_table_stops_moving_versions") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, "INSERT INTO things (id) VALUES (1)").await;
    run(&mut admin, "SELECT larder.untrack('things', 'thing')").await;
    run(&mut admin, "UPDATE things SET amount = 1").await;
    assert_eq!(version(&mut admin, "thing", "1").await, 1);
    run(&mut admin, "SELECT larder.track('things', 'thing', 'SELECT id::text FROM changed')").await;
    run(&mut admin, "UPDATE things SET amount = 2").await;
    assert_eq!(version(&mut admin, "thing", "1").await, 2);
}

#[tokio::test]
async fn only_a_change_of_strategy_moves_the_epoch() {
    if testing::skip_without_servers("only_a_change_of_strategy_moves_the_epoch") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut epochs = Vec::new();
    for strategy in ["none", "none", "ttl", "ttl", "none"] {
        epochs.push(adopt_strategy(&fixture.db, "thing", strategy).await.expect("adopts"));
    }
    assert_eq!(epochs, [2, 2, 3, 3, 4]);
    assert_eq!(adopt_strategy(&fixture.db, "untracked", "ttl").await.expect("adopts"), 1);
}
