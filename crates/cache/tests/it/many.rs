//! Several keys at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use larder::{GetError, Loaded};
use larder_stack::{Topology, testing};
use tokio::time::sleep;

use crate::reads::both_tiers;
use crate::support::{Process, connect, memory, v};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn what_is_missing_of_many_is_loaded_at_once() {
    let l2 = memory();
    let batches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let processes: Vec<_> = (0..2)
        .map(|_| {
            let process = Process::new(&l2, "many", both_tiers());
            let source = Batches(Arc::clone(&batches));
            process.with_source(source)
        })
        .collect();
    let keys: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    let (one, other) =
        tokio::join!(processes[0].get_many(&keys), processes[1].get_many(&keys[5..]));
    for (key, answer) in keys.iter().zip(one).chain(keys[5..].iter().zip(other)) {
        assert_eq!(answer.expect("is loaded").value, Some(Bytes::from(key.clone())));
    }
    let mut loaded: Vec<String> = batches.lock().expect("no panic").concat();
    loaded.sort();
    assert_eq!(loaded, keys, "each key once");
    let before = batches.lock().expect("no panic").len();
    assert!(before <= 2, "{before}");
    // In their order, also where one is asked for twice; nothing is loaded any more.
    let twice = ["3".to_owned(), "1".to_owned(), "3".to_owned()];
    let answers = processes[0].get_many(&twice).await;
    let values: Vec<_> = answers.into_iter().map(|a| a.expect("is there").value).collect();
    assert_eq!(values, ["3", "1", "3"].map(|key| Some(Bytes::from(key))));
    // A key that the source leaves out is its own failure.
    let answers = processes[0].get_many(&["1".to_owned(), "left out".to_owned()]).await;
    assert!(answers[0].is_ok() && matches!(answers[1], Err(GetError::Load(_))), "{answers:?}");
    assert_eq!(batches.lock().expect("no panic").len(), before + 1);
}

#[tokio::test]
async fn of_a_hundred_keys_asked_for_in_tens_each_is_loaded_once_over_redis() {
    if testing::skip_without_servers("of_a_hundred_keys_asked_for_in_tens") {
        return;
    }
    let cluster = testing::redis_cluster(Topology::ThreeByOne).await;
    let environment = testing::unique("tens");
    let batches = Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut processes = Vec::new();
    for _ in 0..4 {
        let l2 = connect(cluster.nodes()).await;
        let process = Process::new(&l2, &environment, both_tiers());
        processes.push(process.with_source(Batches(Arc::clone(&batches))));
    }
    let keys: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    // Each process asks for all, in tens that overlap the others' by half.
    let asked = processes.iter().enumerate().flat_map(|(number, process)| {
        let keys = &keys;
        (0..10).map(move |ten| {
            let from = ten * 10 + number % 2 * 5;
            let some: Vec<String> = (from..from + 10).map(|n| keys[n % 100].clone()).collect();
            async move { (process.get_many(&some).await, some) }
        })
    });
    for (answers, some) in join_all(asked).await {
        for (answer, key) in answers.into_iter().zip(some) {
            assert_eq!(answer.expect("is loaded").value, Some(Bytes::from(key)));
        }
    }
    let mut loaded: Vec<String> = batches.lock().expect("no panic").concat();
    loaded.sort();
    let mut expected = keys;
    expected.sort();
    assert_eq!(loaded, expected);
}

/// A source that remembers what was asked for at once.
#[derive(Clone)]
struct Batches(Arc<std::sync::Mutex<Vec<Vec<String>>>>);

impl larder::Source<String, Bytes> for Batches {
    fn load(&self, key: String) -> larder::Load<Loaded<Bytes>> {
        let all = self.load_many(vec![key]);
        Box::pin(async { Ok(all.await?.remove(0).1) })
    }

    fn load_many(&self, keys: Vec<String>) -> larder::Load<Vec<(String, Loaded<Bytes>)>> {
        let batches = Arc::clone(&self.0);
        Box::pin(async move {
            sleep(SECOND / 10).await;
            batches.lock().expect("no panic").push(keys.clone());
            let found = keys.into_iter().filter(|key| key != "left out");
            Ok(found.map(|key| (key.clone(), Loaded::found(v(1), Bytes::from(key)))).collect())
        })
    }
}
