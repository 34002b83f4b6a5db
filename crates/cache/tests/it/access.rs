//! Redis behind rights and encryption: ACL users, reading only, TLS.

use std::sync::Arc;
use std::time::Duration;

use larder::testing::journal_contract;
use larder::{
    Coherence, CoherenceOptions, Invalidation, L1Options, L2, Miss, NamespaceOptions, RedisOptions,
    RedisTier, Tier, TlsOptions,
};
use larder_stack::Topology;
use larder_stack::testing::{self, TestRedis};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::proxy::{Proxy, announce, port_of};
use crate::replicated::{One, Shop};
use crate::support::{Origin, Process, ask, connect, connect_by, get, v, within};

/// What the README tells an operator to grant.
const README: &str = include_str!("../../README.md");

/// A cluster with the user `name` of the README, and its nodes' URLs for that user.
async fn cluster_with(name: &str, topology: Topology) -> (TestRedis, Vec<String>) {
    let cluster = testing::private_redis_cluster(topology).await;
    let rule = README.lines().find(|line| line.starts_with(&format!("ACL SETUSER {name} ")));
    let words: Vec<&str> = rule.expect("the README has the user").split(' ').collect();
    for node in cluster.nodes() {
        ask::<()>(&node, &words).await;
    }
    let user = format!("redis://{name}:secret@");
    let urls = cluster.nodes().iter().map(|node| node.replace("redis://", &user)).collect();
    (cluster, urls)
}

/// Nobody was refused anything.
async fn assert_no_refusal(cluster: &TestRedis) {
    for node in cluster.nodes() {
        let log: Vec<redis::Value> = ask(&node, &["ACL", "LOG"]).await;
        assert!(log.is_empty(), "{log:?}");
    }
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_readme_can_do_everything() {
    if testing::skip_without_servers("a_user_with_the_rights_of_the_readme") {
        return;
    }
    let (cluster, urls) = cluster_with("larder", Topology::ThreeByZero).await;
    let options = || NamespaceOptions { ttl: Some(Duration::from_secs(60)), ..Default::default() };
    let processes = [connect(urls.clone()).await, connect(urls.clone()).await]
        .map(|l2| Arc::new(Process::new(&l2, "dev", options())));
    let origin = Origin::slow(Duration::from_millis(200));
    let mut tasks = JoinSet::new();
    for n in 0..40 {
        let (process, origin) = (Arc::clone(&processes[n % 2]), origin.clone());
        tasks.spawn(async move { get(&process, &(n / 4).to_string(), &origin).await });
    }
    while let Some(answer) = tasks.join_next().await {
        answer.expect("no panic").expect("the origin answers");
    }
    assert_eq!(origin.loads(), 10);
    for n in 0..10 {
        let key = n.to_string();
        assert_eq!(get(&processes[0], &key, &origin).await.expect("a hit").tier, Tier::L2);
        assert_eq!(processes[1].invalidate(&key, v(1)).await, Invalidation::Done);
    }
    assert_eq!(processes[0].invalidate_tag("all", v(1)).await, Invalidation::Done);
    // The backplane, too.
    let told = connect_by(RedisOptions::new(urls)).await;
    let coherence = Coherence::between_processes("dev", &told, &CoherenceOptions::default());
    let teller = Process::new(&told, "dev", options()).coherent(&coherence);
    within(Duration::from_secs(5), "the backplane is heard", async || coherence.is_proven()).await;
    assert_eq!(teller.invalidate(&"0".to_owned(), v(2)).await, Invalidation::Done);
    assert_no_refusal(&cluster).await;
}

#[tokio::test]
async fn who_may_only_read_reads_and_changes_nothing() {
    if testing::skip_without_servers("who_may_only_read_reads_and_changes_nothing") {
        return;
    }
    let (cluster, urls) = cluster_with("reader", Topology::ThreeByZero).await;
    let writer = Process::new(&connect(cluster.nodes()).await, "dev", NamespaceOptions::default());
    let origin = Origin::default();
    get(&writer, "a", &origin).await.expect("the origin answers");

    let l2 = connect_by(RedisOptions { read_only: true, ..RedisOptions::new(urls) }).await;
    let l1 = L1Options { ttl: Duration::from_secs(60), ..L1Options::default() };
    let options = NamespaceOptions { l1: Some(l1), ..NamespaceOptions::default() };
    let reader = Process::new(&l2, "dev", options);
    assert_eq!(get(&reader, "a", &origin).await.expect("a hit").tier, Tier::L2);
    let loaded = get(&reader, "b", &origin).await.expect("the origin answers");
    assert_eq!((loaded.tier, loaded.miss, loaded.stored), (Tier::Origin, Some(Miss::Absent), true));
    assert_eq!(get(&reader, "b", &origin).await.expect("a hit").tier, Tier::L1);
    assert_eq!(writer.inspect(&"b".to_owned()).await.l2, Ok(None));
    let refused = Invalidation::Unavailable("redis-read-only");
    assert_eq!(reader.invalidate(&"a".to_owned(), v(9)).await, refused);
    assert_eq!(get(&writer, "a", &origin).await.expect("a hit").tier, Tier::L2);
    // What others tell is heard.
    let coherence = Coherence::between_processes("dev", &l2, &CoherenceOptions::default());
    within(Duration::from_secs(5), "the backplane is heard", async || coherence.is_proven()).await;
    assert_no_refusal(&cluster).await;
}

#[tokio::test]
async fn a_user_with_the_rights_of_the_readme_keeps_writes_on_every_replica() {
    if testing::skip_without_servers("a_user_with_the_rights_of_the_readme_keeps_writes") {
        return;
    }
    let (cluster, urls) = cluster_with("keeper", Topology::ThreeByOne).await;
    let origin = Origin::default();
    let process = Process::new(&connect(urls.clone()).await, "dev", NamespaceOptions::default());
    for tier in [Tier::Origin, Tier::L2] {
        assert_eq!(get(&process, "a", &origin).await.expect("an answer").tier, tier);
    }
    assert_eq!(process.invalidate(&"a".to_owned(), v(1)).await, Invalidation::Done);
    let shop = Shop::on(cluster, urls, "dev");
    let one = One::of(shop);
    Box::pin(journal_contract(&one)).await;
    assert_no_refusal(one.redis()).await;
}

#[tokio::test]
async fn entries_travel_encrypted_to_nodes_that_are_who_they_say() {
    if testing::skip_without_servers("entries_travel_encrypted") {
        return;
    }
    let cluster = testing::private_redis_cluster(Topology::ThreeByZero).await;
    let nodes = cluster.nodes();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a name");
    let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    let tls = TlsAcceptor::from(Arc::new(config));
    let mut proxies = Vec::new();
    for node in &nodes {
        proxies.push(Proxy::before(port_of(node), Some(tls.clone())).await);
    }
    announce(&nodes, &proxies.iter().collect::<Vec<_>>()).await;
    let urls = vec![format!("rediss://127.0.0.1:{}", proxies[0].port())];

    let authorities = Some(made.cert.pem().into_bytes());
    let trusting = TlsOptions { authorities, client: None };
    let l2 = connect_by(RedisOptions { tls: trusting, ..RedisOptions::new(urls.clone()) }).await;
    let process = Process::new(&l2, "tls", NamespaceOptions::default());
    let origin = Origin::default();
    for _ in 0..2 {
        for n in 0..30 {
            get(&process, &n.to_string(), &origin).await.expect("the origin answers");
        }
    }
    assert_eq!((origin.loads(), process.stats().l2.hits), (30, 30));

    // Who does not trust the certificate sends nothing, and loads.
    let tier = RedisTier::connect(RedisOptions::new(urls)).expect("the options are valid");
    let l2 = Arc::new(L2::Redis(tier));
    let stranger = Process::new(&l2, "tls", NamespaceOptions::default());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let lookup = get(&stranger, "1", &origin).await.expect("the origin answers");
    assert_eq!(lookup.miss, Some(Miss::Unavailable("redis-unavailable")));
    assert!(!l2.is_available());
}
