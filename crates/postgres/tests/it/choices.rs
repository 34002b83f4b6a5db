//! What is chosen for all processes is stored with the epoch that moves by it.

use std::time::Duration;

use larder_postgres::{Choices, Chosen, Database, DatabaseOptions, choose_strategy};
use larder_stack::testing;

use crate::support::{Fixture, fixture};

const LIFE: Duration = Duration::from_secs(60);

fn process(fixture: &Fixture, environment: &str) -> Choices {
    let options = DatabaseOptions::new(fixture.database.feed_url.clone());
    let db = Database::new(&options).expect("the options are valid");
    Choices::new(db, environment, "127.0.0.1:1")
}

#[tokio::test]
async fn a_choice_is_a_generation_and_a_barrier_and_the_same_again_is_neither() {
    if testing::skip_without_servers("a_choice_is_a_generation_and_a_barrier") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let choose = async |environment: &str, namespace: &str, wanted| {
        choose_strategy(&fixture.db, environment, namespace, wanted).await.expect("it is chosen")
    };
    let of = |generation, epoch| Chosen { generation, epoch };
    let behind = Some(("write-behind", "l2"));
    // Nothing was chosen, so nothing is taken back.
    assert_eq!(choose("here", "thing", None).await, of(0, 1));
    assert_eq!(choose("here", "thing", behind).await, of(1, 2));
    assert_eq!(choose("here", "thing", behind).await, of(1, 2));
    assert_eq!(choose("here", "family", Some(("ttl", "l2"))).await, of(2, 2));
    assert_eq!(choose("here", "thing", Some(("write-behind", "l1"))).await, of(3, 3));
    // Epochs are the database's, generations the environment's.
    assert_eq!(choose("there", "thing", behind).await, of(1, 4));
    assert_eq!(choose("here", "thing", None).await, of(4, 5));

    let process = process(&fixture, "here");
    let heard = process.follow(0, 0, LIFE, None).await.expect("it follows");
    assert_eq!(heard.slowest, 0);
    let of = |name: &str| heard.namespaces.iter().find(|it| it.namespace == name).cloned();
    let (thing, family) = (of("thing").expect("known"), of("family").expect("known"));
    assert_eq!(thing.epoch, 5);
    let choice = thing.choice.expect("the row stays");
    assert_eq!((choice.wanted, choice.generation), (None, 4));
    let chosen = family.choice.expect("chosen").wanted;
    assert_eq!(chosen, Some(("ttl".to_owned(), "l2".to_owned())));
}

#[tokio::test]
async fn processes_know_how_far_the_slowest_is() {
    if testing::skip_without_servers("processes_know_how_far_the_slowest_is") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let (one, two) = (process(&fixture, "here"), process(&fixture, "here"));
    let other = process(&fixture, "there");
    let slowest = async |process: &Choices, adopted| {
        process.follow(adopted, 0, LIFE, None).await.expect("it follows").slowest
    };
    assert_eq!(slowest(&other, 1).await, 1);
    assert_eq!(slowest(&one, 7).await, 7);
    assert_eq!(slowest(&two, 5).await, 5);
    assert_eq!(slowest(&one, 7).await, 5);
    let names = async || {
        let there = one.processes(LIFE).await.expect("they are listed");
        there.into_iter().map(|process| process.name).collect::<Vec<_>>()
    };
    assert_eq!(names().await.len(), 2);
    // Who has not been heard of for its life is not waited for; who leaves, not at all.
    tokio::time::sleep(Duration::from_millis(30)).await;
    let short = Duration::from_millis(20);
    assert_eq!(one.follow(7, 7, short, None).await.expect("it follows").slowest, 7);
    two.leave().await.expect("it leaves");
    assert_eq!(names().await, [one.process()]);
}

#[tokio::test]
async fn what_a_process_says_of_itself_others_of_its_environment_read() {
    if testing::skip_without_servers("what_a_process_says_of_itself_others_read") {
        return;
    }
    let fixture = fixture(|_| {}).await;
    let (one, two) = (process(&fixture, "here"), process(&fixture, "here"));
    let other = process(&fixture, "there");
    let said = async |process: &Choices, report| {
        process.follow(0, 0, LIFE, report).await.expect("it follows");
    };
    said(&one, Some("first")).await;
    said(&one, Some("second")).await;
    said(&two, None).await;
    said(&other, Some("elsewhere")).await;
    let reports = two.reports(LIFE).await.expect("they are read");
    let of = |process: &Choices| {
        let found = reports.iter().find(|report| report.process == process.process());
        found.expect("it is there").text.clone()
    };
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert_eq!((of(&one).as_deref(), of(&two)), (Some("second"), None));
    // One of an earlier release, which does not know that there is anything to say.
    let sql = format!(
        "SELECT * FROM larder.follow('here', '{}', '127.0.0.1:1', 0, 0, interval '1 minute')",
        two.process()
    );
    fixture.database.execute(&sql).await;
    one.leave().await.expect("it leaves");
    assert_eq!(two.reports(LIFE).await.expect("they are read").len(), 1);
}
