//! Who relays, from where, with which rights, and what wakes him.

use std::collections::BTreeMap;
use std::time::Duration;

use larder::{Feed, Place};
use larder_postgres::{DatabaseOptions, FeedOptions, PostgresFeed, Totals};
use larder_stack::testing;
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::timeout;

use crate::support::{WRITE, admin, fixture, run};

async fn epochs(feed: &PostgresFeed) -> BTreeMap<String, u32> {
    feed.epochs().await.expect("reads").into_iter().collect()
}

/// `place` in another history.
fn elsewhere(place: &Place) -> Place {
    Place::new(format!("1.{}", place.as_str()))
}

#[tokio::test]
async fn one_process_relays_until_its_lease_ends() {
    if testing::skip_without_servers("one_process_relays_until_its_lease_ends") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let (first, second) = (fixture.feed("test").await, fixture.feed("test").await);
    let start = first.claim().await.expect("claims").expect("is free");
    assert_eq!(second.claim().await.expect("answers"), None);
    assert_eq!(first.claim().await.expect("answers"), Some(start.clone()), "its own");
    // Another environment's feed is another right.
    assert!(fixture.feed("other").await.claim().await.expect("answers").is_some());

    run(&mut admin, "INSERT INTO things (id) VALUES (1)").await;
    let next = first.since(&start, 10).await.expect("reads").place;
    assert_ne!(next, start);
    assert!(first.remember(&next).await.expect("answers"));
    assert!(!second.remember(&start).await.expect("answers"), "it has no right to");
    second.resign().await.expect("gives nothing back");
    assert_eq!(second.claim().await.expect("answers"), None);

    // The lease ends, whatever the first one is doing.
    run(&mut admin, "UPDATE larder.feeds SET held_until = held_from").await;
    assert_eq!(second.claim().await.expect("answers"), Some(next.clone()));
    assert!(!first.remember(&start).await.expect("answers"), "it lost the right");
    assert_eq!(first.claim().await.expect("answers"), None);

    second.resign().await.expect("resigns");
    assert_eq!(first.claim().await.expect("answers"), Some(next.clone()));
    // A lease from the future: the server's clock has gone back.
    run(&mut admin, "UPDATE larder.feeds SET held_from = held_from + interval '1 day'").await;
    assert_eq!(second.claim().await.expect("answers"), Some(next));
}

#[tokio::test]
async fn only_a_new_feed_moves_all_epochs() {
    if testing::skip_without_servers("only_a_new_feed_moves_all_epochs") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    run(&mut admin, "INSERT INTO things (id) VALUES (1)").await;
    let feed = fixture.feed("test").await;
    let opened = epochs(&feed).await;
    assert!(opened.values().all(|epoch| *epoch > 1), "{opened:?}");
    assert_eq!(opened.len(), 2);
    // Whoever relays hears of it.
    let place = feed.claim().await.expect("claims").expect("is free");
    let batch = feed.since(&place, 10).await.expect("reads");
    assert_eq!(BTreeMap::from_iter(batch.epochs), opened);

    // Many processes start at once, and open what is open.
    let (a, b, c) = tokio::join!(fixture.feed("test"), fixture.feed("test"), fixture.feed("test"));
    drop((a, b, c));
    assert_eq!(epochs(&feed).await, opened);
    let (a, b) = tokio::join!(fixture.feed("second"), fixture.feed("second"));
    drop((a, b));
    let again = epochs(&feed).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM larder.feeds")
        .fetch_one(&mut admin)
        .await
        .expect("readable");
    assert_eq!(rows, 2);
    assert!(again.iter().all(|(namespace, epoch)| *epoch > opened[namespace]), "{again:?}");
}

#[tokio::test]
async fn a_database_of_another_history_moves_all_epochs_beyond_those_it_may_have_had() {
    if testing::skip_without_servers("a_database_of_another_history_moves_all_epochs") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let place = feed.claim().await.expect("claims").expect("is free");
    let place = feed.since(&place, 10).await.expect("reads").place;
    assert!(feed.remember(&place).await.expect("answers"));
    let before = epochs(&feed).await;

    // As after a restore: the feed's place is of another history, and epochs have gone back.
    run(
        &mut admin,
        "UPDATE larder.feeds SET place = '1.' || place; UPDATE larder.epochs SET epoch = 1",
    )
    .await;
    let foreign = elsewhere(&place);
    assert!(!feed.remember(&foreign).await.expect("answers"), "it is no place here");
    let batch = feed.since(&foreign, 10).await.expect("goes on from here");
    let after = epochs(&feed).await;
    assert_eq!(BTreeMap::from_iter(batch.epochs), after);
    for (namespace, epoch) in &before {
        assert!(after[namespace] >= *epoch, "{before:?}, then {after:?}");
    }
    assert!(feed.remember(&batch.place).await.expect("answers"));

    // Another process that comes from there finds the feed opened anew.
    let late = feed.since(&foreign, 10).await.expect("goes on from here");
    assert_eq!(late.epochs, []);
    assert_eq!(epochs(&feed).await, after);

    // So does a claim, and a start.
    run(&mut admin, "UPDATE larder.feeds SET place = '1.' || place").await;
    let claimed = feed.claim().await.expect("claims").expect("is its own");
    assert_eq!(feed.since(&claimed, 10).await.expect("reads").epochs.len(), 2);
    run(&mut admin, "UPDATE larder.feeds SET place = '1.' || place").await;
    let claimed = fixture.feed("test").await.claim().await.expect("answers");
    assert_eq!(claimed, None, "the right stays where it was");
    assert!(epochs(&feed).await.iter().all(|(namespace, epoch)| *epoch > after[namespace]));
}

#[tokio::test]
async fn the_doorbell_rings_for_strangers_and_not_for_the_application() {
    if testing::skip_without_servers("the_doorbell_rings_for_strangers") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let mut admin = admin(&fixture.database).await;
    let feed = fixture.feed("test").await;
    let soon = Duration::from_secs(20);
    timeout(soon, feed.rung()).await.expect("may have missed something before it listened");

    sqlx::query("INSERT INTO things (id) VALUES (1)")
        .execute(fixture.db.counted(WRITE))
        .await
        .expect("inserts");
    // A change of nothing, and one that is undone, ring for nobody either.
    run(&mut admin, "UPDATE things SET amount = 1 WHERE id = 77").await;
    run(&mut admin, "BEGIN; UPDATE things SET amount = 1 WHERE id = 1; ROLLBACK").await;
    let silence = timeout(Duration::from_millis(300), feed.rung()).await;
    assert!(silence.is_err(), "the application publishes its changes itself");

    for change in [
        "UPDATE things SET amount = 1 WHERE id = 1",
        "SELECT larder.clear('thing')",
        "TRUNCATE things",
        // A lost connection: what was committed meanwhile has rung for nobody.
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'
         AND datname = current_database()",
        "INSERT INTO things (id) VALUES (2)",
    ] {
        run(&mut admin, change).await;
        timeout(soon, feed.rung()).await.expect(change);
    }
}

#[tokio::test]
async fn each_call_is_one_statement_of_the_feeds_role() {
    if testing::skip_without_servers("each_call_is_one_statement_of_the_feeds_role") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let options = DatabaseOptions::new(fixture.database.feed_url.clone());
    let db = larder_postgres::Database::new(&options).expect("the options are valid");
    let feed = PostgresFeed::open(db.clone(), "test", &FeedOptions::default()).await;
    let feed = feed.expect("opens");
    timeout(Duration::from_secs(20), feed.rung()).await.expect("listens");
    let place = feed.claim().await.expect("claims").expect("is free");
    let batch = feed.since(&place, 10).await.expect("reads");
    assert!(feed.remember(&batch.place).await.expect("answers"));
    feed.epochs().await.expect("reads");
    feed.clear(&["thing".to_owned(), "family".to_owned()]).await.expect("clears");
    feed.resign().await.expect("resigns");
    let expected = Totals { completed: 7, failed: 0, unknown: 0, in_flight: 0 };
    assert_eq!(db.ledger().totals(), expected);
    assert_eq!(fixture.database.counted_of(&fixture.database.feed_role).await, 7);
    assert_eq!(fixture.database.counted().await, 0, "the application has sent nothing");
}

#[tokio::test]
async fn each_role_can_do_its_own_work_and_no_more() {
    if testing::skip_without_servers("each_role_can_do_its_own_work_and_no_more") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let _feed = fixture.feed("test").await;
    let refused = async |url: &str, sql: &'static str| {
        let mut connection = PgConnection::connect(url).await.expect("connects");
        let error = connection.execute(sql).await.expect_err(sql);
        let code = error.as_database_error().and_then(|error| error.code());
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {error}");
    };
    for sql in [
        "SELECT larder.open_feed('test')",
        "SELECT larder.claim_feed('test', 'me', interval '1 s')",
        "SELECT larder.remember_feed('test', 'me', interval '1 s', '')",
        "SELECT larder.feed_since('', 1)",
        "SELECT larder.clear('thing')",
        "SELECT larder.move_epochs(NULL)",
        "UPDATE larder.versions SET version = 1",
        // A trigger of its own would run any query with the owner's rights.
        "CREATE TEMPORARY TABLE mine (id int);
         CREATE TRIGGER mine AFTER INSERT ON mine REFERENCING NEW TABLE AS new_rows
         FOR EACH STATEMENT EXECUTE FUNCTION larder.bump('thing', 'SELECT 1')",
    ] {
        refused(&fixture.database.app_url, sql).await;
    }
    for sql in [
        "SELECT FROM things",
        "SELECT FROM larder.feeds",
        "SELECT FROM larder.versions",
        "UPDATE larder.epochs SET epoch = 1",
        "SELECT larder.adopt_strategy('thing', 'ttl')",
        "SELECT larder.move_epochs(NULL)",
    ] {
        refused(&fixture.database.feed_url, sql).await;
    }
}
