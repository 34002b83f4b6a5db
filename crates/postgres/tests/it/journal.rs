//! What the journal's building blocks let the application do, and what not.

use larder_stack::testing;
use sqlx::{Executor, PgConnection};

use crate::support::{Fixture, WRITE, admin, fixture, run};

async fn version(admin: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT version FROM larder.versions WHERE namespace = 'thing' AND key = '1'",
    )
    .fetch_one(admin)
    .await
    .expect("readable")
}

#[tokio::test]
async fn nobody_but_the_owner_keeps_a_change_from_being_versioned() {
    if testing::skip_without_servers("nobody_but_the_owner_keeps_a_change_from_being_versioned") {
        return;
    }
    let Fixture { db, database, .. } = &fixture(|_| {}).await;
    let mut admin = admin(database).await;
    run(&mut admin, "INSERT INTO things VALUES (1, 1, 1)").await;
    let update = "UPDATE things SET amount = amount + 1";
    for setting in ["on", "", "0000000000000000000000000000000000000000000000000000000000000000"] {
        let before = version(&mut admin).await;
        let mut transaction = db.begin().await.expect("begins");
        sqlx::query("SELECT set_config('larder.applying', $1, true)")
            .bind(setting)
            .execute(transaction.counted(WRITE))
            .await
            .expect("anybody can set a setting");
        transaction.counted(WRITE).execute(update).await.expect("updates");
        transaction.commit().await.expect("commits");
        assert_eq!(version(&mut admin).await, before + 1, "{setting:?}");
    }
    for refused in [
        "SELECT larder.begin_applying()",
        "SELECT larder.applying_token()",
        "SELECT secret FROM larder.applying",
        "SELECT larder.lock_versions(ARRAY['thing'], ARRAY['1'])",
        "SELECT larder.bump_locked(ARRAY['thing'], ARRAY['1'])",
        "SELECT larder.take_off(ARRAY['1'], ARRAY[1])",
        "SELECT larder.bury(1, ARRAY['thing'], ARRAY['1'])",
        "INSERT INTO larder.journal (key, operation, appended_at) VALUES ('1', '{}', now())",
        "DELETE FROM larder.journal",
        "DELETE FROM larder.dead_letters",
    ] {
        let error = db.counted(WRITE).execute(refused).await.expect_err(refused);
        let code =
            error.as_database_error().and_then(|error| error.code()).expect("Postgres says so");
        assert_eq!(code, "42501", "{refused}");
    }
}

#[tokio::test]
async fn what_was_versioned_before_is_not_versioned_again_and_what_follows_is() {
    if testing::skip_without_servers("what_was_versioned_before_is_not_versioned_again") {
        return;
    }
    let Fixture { database, .. } = &fixture(|_| {}).await;
    let mut admin = admin(database).await;
    run(&mut admin, "INSERT INTO things VALUES (1, 1, 1)").await;
    run(
        &mut admin,
        "BEGIN;
         SELECT larder.begin_applying();
         UPDATE things SET amount = 2;
         SELECT larder.end_applying();
         COMMIT",
    )
    .await;
    assert_eq!(version(&mut admin).await, 1);
    // What a token was made for ends with its transaction, whoever has seen it.
    run(
        &mut admin,
        "BEGIN;
         SELECT larder.begin_applying();
         SELECT set_config('larder.applying', current_setting('larder.applying'), false);
         COMMIT;
         UPDATE things SET amount = 3",
    )
    .await;
    assert_eq!(version(&mut admin).await, 2);
}

#[tokio::test]
async fn versions_that_are_locked_get_no_newer_and_new_ones_are_made() {
    if testing::skip_without_servers("versions_that_are_locked_get_no_newer_and_new_ones_are_made")
    {
        return;
    }
    let Fixture { database, .. } = &fixture(|_| {}).await;
    let mut admin = admin(database).await;
    run(&mut admin, "INSERT INTO things VALUES (1, 1, 1)").await;
    let lock =
        "SELECT larder.lock_versions(ARRAY['thing', 'thing', 'thing'], ARRAY['1', '2', '1'])";
    let open = database.begin(lock).await;
    let busy =
        database.try_execute("SET lock_timeout = '50ms'; UPDATE things SET amount = 2").await;
    busy.expect_err("is locked");
    open.commit().await;
    assert_eq!(version(&mut admin).await, 1);
    run(&mut admin, lock).await;
    run(&mut admin, "UPDATE things SET amount = 3").await;
    assert_eq!(version(&mut admin).await, 2);
    let made: i64 = sqlx::query_scalar("SELECT version FROM larder.versions WHERE key = '2'")
        .fetch_one(&mut admin)
        .await
        .expect("was made");
    assert_eq!(made, 1);
}
