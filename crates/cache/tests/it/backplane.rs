//! The backplane breaks: nothing old is answered for longer than the bound.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use larder::{Coherence, CoherenceOptions, L1Options, L2, NamespaceOptions, Tier, Version};
use larder_stack::testing::TestRedis;
use larder_stack::{Topology, testing};

use crate::feed::Commits;
use crate::support::{Origin, Process, ask, connect, get, v, within};

/// No read may be older, while every shard that its key needs answers.
const BOUND: Duration = Duration::from_secs(1);
/// No read may be older while a shard fails over: until it is noticed, replaced, and told again.
const FAULT_BOUND: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
const STREAM: &str = "faults:{larder:backplane}";

/// Two processes with both tiers on one cluster, one feed, and what was committed when.
struct Scene {
    cluster: TestRedis,
    writer: Process,
    reader: Process,
    /// Kept alive; the second is the reader's.
    coherence: [Arc<Coherence>; 2],
    commits: Arc<Commits>,
    origin: Origin,
    written: Mutex<BTreeMap<u64, Instant>>,
}

impl Scene {
    async fn new(topology: Topology) -> Self {
        let cluster = testing::private_redis_cluster(topology).await;
        let commits = Arc::new(Commits::default());
        let hour = Duration::from_secs(3_600);
        let process = async |n: u64| {
            let l2: Arc<L2> = connect(cluster.nodes()).await;
            let options = NamespaceOptions {
                ttl: Some(hour),
                l1: Some(L1Options { ttl: hour, ..L1Options::default() }),
                ..NamespaceOptions::default()
            };
            let coherence =
                Coherence::with_feed("faults", &l2, &CoherenceOptions::default(), commits.feed(n));
            let process = Process::new(&l2, "faults", options).coherent(&coherence);
            within(PATIENCE, "the backplane is heard", async || coherence.is_proven()).await;
            (process, coherence)
        };
        let (writer, first) = process(1).await;
        within(PATIENCE, "it relays", async || first.relay().is_active()).await;
        let (reader, second) = process(2).await;
        let (coherence, origin) = ([first, second], Origin::default());
        let written = Mutex::default();
        Self { cluster, writer, reader, coherence, commits, origin, written }
    }

    /// A commit, by somebody who tells the cache or by one who does not.
    async fn write(&self, key: &str, tells: bool) {
        let version = self.origin.write();
        let written = || self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written().insert(version.counter, Instant::now());
        self.commits.commit(key, version);
        if tells {
            self.writer.invalidate(&key.to_owned(), version).await;
        }
    }

    /// How old the reader's answer is.
    async fn staleness(&self, key: &str) -> Duration {
        let asked = Instant::now();
        let lookup = get(&self.reader, key, &self.origin).await.expect("the origin answers");
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let newer = written.range(lookup.version.counter + 1..).next();
        newer.map_or(Duration::ZERO, |(_, at)| asked.saturating_duration_since(*at))
    }

    /// Writes and reads `key` for `span`, while `meanwhile` happens; the oldest answer.
    async fn oldest(
        &self,
        key: &str,
        span: Duration,
        meanwhile: impl Future<Output = ()>,
    ) -> Duration {
        let until = Instant::now() + span;
        let write = async {
            let mut tells = false;
            while Instant::now() < until {
                self.write(key, tells).await;
                tells = !tells;
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
        };
        let read = async {
            let mut oldest = Duration::ZERO;
            while Instant::now() < until + Duration::from_millis(200) {
                oldest = oldest.max(self.staleness(key).await);
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            oldest
        };
        let ((), oldest, ()) = tokio::join!(write, read, meanwhile);
        oldest
    }

    /// The node, by its number, that has the slot of `key`.
    async fn node_of(&self, key: &str) -> usize {
        let nodes = self.cluster.nodes();
        let slot: u16 = ask(&nodes[0], &["CLUSTER", "KEYSLOT", key]).await;
        // Three primaries, in the order of their slots.
        (0..3).find(|node| u32::from(slot) < 16_384 * (node + 1) / 3).map_or(0, |n| n as usize)
    }

    /// A key of the namespace whose shard is `node`.
    async fn key_on(&self, node: usize) -> String {
        for n in 0..100 {
            let key = n.to_string();
            if self.node_of(&format!("faults:{{things:{key}}}")).await == node {
                return key;
            }
        }
        panic!("no key on node {node}");
    }
}

#[tokio::test]
async fn a_reader_whose_connections_are_killed_answers_nothing_old() {
    if testing::skip_without_servers("a_reader_whose_connections_are_killed") {
        return;
    }
    let scene = Scene::new(Topology::ThreeByZero).await;
    let nodes = scene.cluster.nodes();
    let kill = async {
        for _ in 0..6 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            for node in &nodes {
                ask::<u64>(node, &["CLIENT", "KILL", "TYPE", "normal"]).await;
            }
        }
    };
    let oldest = scene.oldest("a", Duration::from_secs(4), kill).await;
    eprintln!("oldest answer: {oldest:?}");
    assert!(oldest <= BOUND, "{oldest:?}");
    within(PATIENCE, "the reader has proof again", async || scene.coherence[1].is_proven()).await;
    get(&scene.reader, "a", &scene.origin).await.expect("the origin answers");
    let settled = get(&scene.reader, "a", &scene.origin).await.expect("the origin answers");
    assert_eq!(settled.tier, Tier::L1);
}

#[tokio::test]
async fn a_stream_that_is_gone_takes_what_was_held_with_it() {
    if testing::skip_without_servers("a_stream_that_is_gone") {
        return;
    }
    let scene = Scene::new(Topology::ThreeByZero).await;
    scene.write("a", true).await;
    within(PATIENCE, "it is held", async || {
        get(&scene.reader, "a", &scene.origin).await.expect("answers").tier == Tier::L1
    })
    .await;
    let nodes = scene.cluster.nodes();
    let node = &nodes[scene.node_of(STREAM).await];
    assert_eq!(ask::<u8>(node, &["DEL", STREAM]).await, 1);
    within(BOUND, "the reader lets go of what it holds", async || {
        get(&scene.reader, "a", &scene.origin).await.expect("answers").tier != Tier::L1
    })
    .await;
}

#[tokio::test]
async fn while_the_backplane_fails_over_nothing_old_is_answered() {
    if testing::skip_without_servers("while_the_backplane_fails_over") {
        return;
    }
    for frozen in [false, true] {
        let mut scene = Scene::new(Topology::ThreeByOne).await;
        let broken = scene.node_of(STREAM).await;
        // Of another shard: only the backplane is broken for it.
        let key = scene.key_on((broken + 1) % 3).await;
        assert!(scene.oldest(&key, BOUND, async {}).await <= BOUND);
        if frozen {
            scene.cluster.freeze(broken);
        } else {
            scene.cluster.kill(broken);
        }
        let oldest = scene.oldest(&key, Duration::from_secs(12), async {}).await;
        eprintln!("frozen: {frozen}, oldest answer: {oldest:?}");
        assert!(oldest <= BOUND, "{oldest:?}");
        within(PATIENCE, "the reader has proof again", async || scene.coherence[1].is_proven())
            .await;
        if frozen {
            // It wakes, and believes for a moment that it is what it was.
            scene.cluster.thaw(broken);
            let oldest = scene.oldest(&key, Duration::from_secs(3), async {}).await;
            assert!(oldest <= BOUND, "{oldest:?}");
        }
    }
}

#[tokio::test]
async fn a_replica_that_was_promoted_without_the_newest_tombstones_is_told_again() {
    if testing::skip_without_servers("a_replica_that_was_promoted_without_the_newest_tombstones") {
        return;
    }
    let mut scene = Scene::new(Topology::ThreeByOne).await;
    let nodes = scene.cluster.nodes();
    let primary = (scene.node_of(STREAM).await + 1) % 3;
    let key = scene.key_on(primary).await;
    assert!(scene.oldest(&key, BOUND, async {}).await <= BOUND);
    within(PATIENCE, "the replica has the value", async || {
        ask::<i64>(&nodes[primary], &["WAIT", "1", "100"]).await == 1
    })
    .await;
    // The replica stands still and is cut off: the tombstone that follows never reaches it.
    scene.cluster.freeze(primary + 3);
    ask::<u64>(&nodes[primary], &["CLIENT", "KILL", "TYPE", "replica"]).await;
    scene.write(&key, true).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    scene.cluster.kill(primary);
    scene.cluster.thaw(primary + 3);
    let newest = v(*scene.written.lock().expect("no panic").keys().last().expect("one"));
    let oldest = scene.staleness_until(&key, Duration::from_secs(15)).await;
    eprintln!("oldest answer: {oldest:?}");
    assert!(oldest <= FAULT_BOUND, "{oldest:?}");
    assert!(scene.coherence[0].relay().replays() >= 1, "nothing was told again");
    let settled: Version = get(&scene.reader, &key, &scene.origin).await.expect("answers").version;
    assert_eq!(settled, newest);
}

impl Scene {
    /// Reads `key` for `span` without writing; the oldest answer.
    async fn staleness_until(&self, key: &str, span: Duration) -> Duration {
        let until = Instant::now() + span;
        let mut oldest = Duration::ZERO;
        while Instant::now() < until {
            oldest = oldest.max(self.staleness(key).await);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        oldest
    }
}
