//! The journal in Redis's memory, shared by several processes, each of which a journal here stands for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder::testing::{ShelfOperation, ShelfSink, Subject, journal_contract};
use larder::{
    Base, Deferred, FlushOptions, Flushed, Journal, JournalError, Made, RedisOptions,
    ReplicatedJournal, ReplicatedOptions, Settled, Sink, Version, Write, WriteState,
};
use larder_stack::Topology;
use larder_stack::testing::{TestRedis, private_redis_cluster, skip_without_servers, unique};

const OPTIONS: FlushOptions =
    FlushOptions { entries: 1_000, attempts: 2, backoff: Duration::from_millis(1) };

/// One database for several journals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Common(Arc<ShelfSink>);

impl Sink for Common {
    type Operation = ShelfOperation;
    type Entry = ShelfOperation;
    type Refusal = <ShelfSink as Sink>::Refusal;
    type State = i64;

    async fn bases(&self, keys: &[String]) -> Result<Vec<Base<i64>>, JournalError> {
        self.0.bases(keys).await
    }

    fn lay(state: &mut i64, waiting: &[ShelfOperation]) {
        ShelfSink::lay(state, waiting);
    }

    fn accept(
        state: &mut i64,
        operation: &ShelfOperation,
    ) -> Result<ShelfOperation, Self::Refusal> {
        ShelfSink::accept(state, operation)
    }

    async fn settle(&self, writes: &[Deferred<ShelfOperation>]) -> Result<Settled, JournalError> {
        self.0.settle(writes).await
    }

    async fn applied(
        &self,
        ids: &[u64],
        namespace: &str,
        key: &str,
    ) -> Result<HashMap<u64, Option<Version>>, JournalError> {
        self.0.applied(ids, namespace, key).await
    }

    async fn made(&self, ids: &[u64]) -> Result<HashMap<u64, Arc<Made>>, JournalError> {
        self.0.made(ids).await
    }

    fn keep(entry: &ShelfOperation) -> Vec<u8> {
        ShelfSink::keep(entry)
    }

    fn restore(kept: &[u8]) -> Result<ShelfOperation, String> {
        ShelfSink::restore(kept)
    }

    fn spell(entry: &ShelfOperation) -> String {
        ShelfSink::spell(entry)
    }
}

pub(crate) type Replicated = ReplicatedJournal<Common>;

/// Processes that share a cluster and a database.
pub(crate) struct Shop {
    redis: TestRedis,
    nodes: Vec<String>,
    environment: String,
    sink: Common,
}

impl Shop {
    async fn new() -> Self {
        let redis = private_redis_cluster(Topology::ThreeByOne).await;
        let nodes = redis.nodes();
        Self::on(redis, nodes, &unique("lanes"))
    }

    /// Processes that reach `redis` by the URLs `nodes`.
    pub(crate) fn on(redis: TestRedis, nodes: Vec<String>, environment: &str) -> Self {
        Self { redis, nodes, environment: environment.to_owned(), sink: Common::default() }
    }

    fn process(&self) -> Replicated {
        let options = ReplicatedOptions {
            redis: RedisOptions::new(self.nodes.clone()),
            environment: self.environment.clone(),
            min_replicas: 1,
        };
        ReplicatedJournal::new(self.sink.clone(), &options)
    }

    fn stored(&self, key: usize) -> i64 {
        self.sink.0.shelf().seen(&name(key), &[]).0
    }

    async fn seen(&self, journal: &Replicated, key: usize) -> (i64, Version) {
        let key = name(key);
        let (number, version) = self.sink.0.shelf().seen(&key, &[]);
        let over = journal.overlay().over(&key, "things", &key, version).await;
        (over.iter().fold(number, |number, operation| operation.on(number)), version)
    }
}

fn name(key: usize) -> String {
    format!("key {key}")
}

fn write(key: usize, operation: ShelfOperation) -> Write<ShelfOperation> {
    Write { key: name(key), operation }
}

fn add(key: usize, amount: i64) -> Write<ShelfOperation> {
    write(key, ShelfOperation::Add(amount))
}

async fn take(journal: &Replicated, write: Write<ShelfOperation>) -> u64 {
    let mut answers = journal.append(&[write]).await.expect("answers");
    answers.pop().expect("an answer").expect("is kept").position
}

async fn flush(journal: &Replicated) -> Flushed {
    journal.flush(&OPTIONS).await.expect("flushes")
}

/// Flushes until nothing waits in any lane.
async fn drain(journal: &Replicated) {
    let began = Instant::now();
    loop {
        let flushed = journal.flush(&OPTIONS).await;
        let state = journal.state().await;
        if flushed.is_ok() && state.is_ok_and(|state| state.depth == 0) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "something waits for ever");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// One process, and what it shares.
pub(crate) struct One {
    shop: Shop,
    journal: Replicated,
}

impl One {
    pub(crate) fn of(shop: Shop) -> Self {
        let journal = shop.process();
        Self { shop, journal }
    }

    pub(crate) const fn redis(&self) -> &TestRedis {
        &self.shop.redis
    }
}

impl Subject for One {
    type Journal = Replicated;

    fn journal(&self) -> &Replicated {
        &self.journal
    }

    fn put(&self, key: usize, number: i64) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Put(number))
    }

    fn add(&self, key: usize, amount: i64) -> Write<ShelfOperation> {
        add(key, amount)
    }

    fn poison(&self, key: usize) -> Write<ShelfOperation> {
        write(key, ShelfOperation::Poison(1))
    }

    async fn heal(&self) {
        self.shop.sink.0.shelf().heal();
    }

    async fn seen(&self, key: usize) -> (i64, Version) {
        self.shop.seen(&self.journal, key).await
    }

    async fn stored(&self, key: usize) -> i64 {
        self.shop.stored(key)
    }
}

#[tokio::test]
async fn a_replicated_journal_holds_the_contract_but_for_versions_before_the_flush() {
    if skip_without_servers("a_replicated_journal_holds_the_contract") {
        return;
    }
    Box::pin(journal_contract(&One::of(Shop::new().await))).await;
}

#[tokio::test]
async fn every_process_sees_finds_and_applies_what_another_has_accepted() {
    if skip_without_servers("every_process_sees_finds_and_applies_what_another_has_accepted") {
        return;
    }
    let shop = Shop::new().await;
    let (one, other) = (shop.process(), shop.process());
    take(&one, add(1, 0)).await;
    let mut delays = Vec::new();
    for step in 1..=50 {
        let at = take(&one, add(1, 1)).await;
        let accepted = Instant::now();
        assert_eq!(shop.seen(&one, 1).await.0, step, "at once where it was accepted");
        while shop.seen(&other, 1).await.0 != step {
            assert!(accepted.elapsed() < Duration::from_secs(1), "step {step}");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        delays.push(accepted.elapsed());
        assert_eq!(other.find(at).await.expect("answers"), Some(WriteState::Pending));
    }
    delays.sort_unstable();
    println!("seen by another process after {:?} (median), {:?} at most", delays[25], delays[49]);
    // What one has granted counts in the other.
    let answers = other.append(&[add(1, -51), add(1, -50)]).await.expect("answers");
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    let poison = take(&other, write(2, ShelfOperation::Poison(1))).await;
    // It crashes; what it has accepted is applied by another, also before a write that does not wait.
    drop(other);
    one.settle(&name(1)).await.expect("is free");
    assert_eq!((shop.stored(1), shop.stored(2)), (0, 0));
    drain(&one).await;
    let third = shop.process();
    assert_eq!(third.find(poison).await.expect("answers"), Some(WriteState::Dead));
    let letters = third.dead_letters(10).await.expect("answers");
    assert_eq!((letters.len(), letters[0].position), (1, poison));
    shop.sink.0.shelf().heal();
    let again = third.replay(poison).await.expect("answers").expect("is dead").position;
    drain(&one).await;
    assert_eq!(shop.stored(2), 1);
    assert_eq!(third.find(again).await.expect("answers"), Some(WriteState::Flushed));
    assert_eq!(third.find(poison).await.expect("answers"), None);
    assert_eq!(shop.seen(&third, 1).await.0, 0, "what was applied is not laid over again");
}

#[tokio::test]
async fn a_process_that_dies_between_the_commit_and_the_taking_off_costs_no_second_application() {
    if skip_without_servers("a_process_that_dies_between_the_commit_and_the_taking_off") {
        return;
    }
    let shop = Shop::new().await;
    let (one, other) = (shop.process(), shop.process());
    for amount in [5, 2] {
        take(&one, add(1, amount)).await;
    }
    // Its transaction commits, and it dies before it hears of it.
    shop.sink.0.lose_answers(true);
    let lost = tokio::time::timeout(Duration::from_secs(1), one.flush(&OPTIONS)).await;
    assert!(lost.is_err(), "cancelled: {lost:?}");
    drop(one);
    shop.sink.0.lose_answers(false);
    assert_eq!((shop.stored(1), shop.seen(&other, 1).await.0), (7, 7));
    take(&other, add(1, 1)).await;
    assert_eq!(flush(&other).await.entries, 0, "the lane is the other's until its lease ends");
    // A write that does not wait does not wait for that, either.
    other.settle(&name(1)).await.expect("is free");
    assert_eq!((shop.stored(1), shop.seen(&other, 1).await.0), (8, 8));
    drain(&other).await;
    assert_eq!(shop.stored(1), 8);
}

#[tokio::test]
async fn several_flushers_of_the_same_lanes_apply_each_write_once_and_in_order() {
    if skip_without_servers("several_flushers_of_the_same_lanes_apply_each_write_once") {
        return;
    }
    let shop = Shop::new().await;
    let processes = [shop.process(), shop.process(), shop.process()];
    let few = FlushOptions { entries: 7, ..OPTIONS };
    let mut sums = [0_i64; 6];
    for round in 0..40_i64 {
        // A put makes an order that is not kept, or an add that is applied twice, visible.
        let mut writes = Vec::new();
        for (key, sum) in sums.iter_mut().enumerate() {
            if round % 5 == 0 {
                *sum = round * 100;
                writes.push(write(key, ShelfOperation::Put(*sum)));
            }
            *sum += round + 1;
            writes.push(add(key, round + 1));
        }
        let taking = &processes[round as usize % 3];
        let (answers, a, b, c) = tokio::join!(
            taking.append(&writes),
            processes[0].flush(&few),
            processes[1].flush(&few),
            async {
                // Under no lease: what it applies others may be applying.
                processes[2].settle(&name(round as usize % 6)).await
            },
        );
        for answer in answers.expect("answers") {
            answer.expect("is kept");
        }
        for flushed in [a, b, c] {
            let flushed = flushed.expect("answers");
            assert_eq!((flushed.failed, flushed.dead), (0, 0));
        }
    }
    drain(&processes[1]).await;
    for (key, sum) in sums.iter().enumerate() {
        assert_eq!(shop.stored(key), *sum, "key {key}");
    }
    for process in &processes {
        process.state().await.expect("answers");
        for (key, sum) in sums.iter().enumerate() {
            assert_eq!(shop.seen(process, key).await.0, *sum, "key {key}");
        }
    }
}

#[tokio::test]
async fn a_primary_that_is_killed_under_load_costs_no_acknowledged_write_and_doubles_none() {
    if skip_without_servers("a_primary_that_is_killed_under_load_costs_no_acknowledged_write") {
        return;
    }
    let mut shop = Shop::new().await;
    let (one, other) = (Arc::new(shop.process()), shop.process());
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..4_usize {
        let (journal, stop) = (Arc::clone(&one), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let (mut kept, mut open) = ([0_i64; 24], [0_i64; 24]);
            while !stop.load(std::sync::atomic::Ordering::SeqCst) {
                let keys: Vec<usize> = (0..6).map(|key| writer * 6 + key).collect();
                let writes: Vec<_> = keys.iter().map(|key| add(*key, 1)).collect();
                let answers = journal.append(&writes).await.expect("the database answers");
                for (key, answer) in keys.into_iter().zip(answers) {
                    let counted = if answer.is_ok() { &mut kept } else { &mut open };
                    counted[key] += 1;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            (kept, open)
        }));
    }
    let began = Instant::now();
    let mut is_killed = false;
    while began.elapsed() < Duration::from_secs(9) {
        // A lane that does not answer does not keep the others.
        let _ = other.flush(&OPTIONS).await;
        if !is_killed && began.elapsed() > Duration::from_secs(1) {
            shop.redis.kill(0);
            is_killed = true;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.store(true, std::sync::atomic::Ordering::SeqCst);
    let (mut kept, mut open) = ([0_i64; 24], [0_i64; 24]);
    for writer in writers {
        let (more, unsure) = writer.await.expect("a writer ends");
        for key in 0..24 {
            kept[key] += more[key];
            open[key] += unsure[key];
        }
    }
    drain(&other).await;
    let (mut lost, mut twice) = (0, 0);
    for key in 0..24 {
        let stored = shop.stored(key);
        lost += (kept[key] - stored).max(0);
        // What was not acknowledged may be there, once.
        twice += (stored - kept[key] - open[key]).max(0);
    }
    let (acknowledged, declined) = (kept.iter().sum::<i64>(), open.iter().sum::<i64>());
    println!("acknowledged {acknowledged}, declined {declined}, lost {lost}, twice {twice}");
    assert!(acknowledged > 1_000 && declined > 0, "{acknowledged} {declined}");
    assert_eq!((lost, twice), (0, 0));
}
