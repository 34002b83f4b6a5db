//! Every topology serves, with its slots and replicas.

use larder_stack::{Topology, testing};

async fn serves(topology: Topology) {
    let cluster = testing::private_redis_cluster(topology).await;
    let nodes = cluster.nodes();
    assert_eq!(nodes.len(), topology.nodes());
    for node in &nodes {
        let mut connection = redis::Client::open(node.as_str())
            .expect("a URL")
            .get_multiplexed_async_connection()
            .await
            .expect("the node answers");
        let info: String =
            redis::cmd("CLUSTER").arg("INFO").query_async(&mut connection).await.expect("answers");
        for line in ["cluster_state:ok", "cluster_slots_ok:16384"] {
            assert!(info.contains(line), "{node}: {info}");
        }
        let role: redis::Value =
            redis::cmd("ROLE").query_async(&mut connection).await.expect("answers");
        let role = format!("{role:?}");
        let folder: Vec<String> = redis::cmd("CONFIG")
            .arg("GET")
            .arg("dir")
            .query_async(&mut connection)
            .await
            .expect("answers");
        let files = std::fs::read_dir(&folder[1]).expect("its folder");
        let saved =
            files.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "rdb"));
        assert_eq!(saved.count(), 0, "{node} could bring old entries back from {}", folder[1]);
        // A replica that was acknowledged before its link was up would lose writes.
        assert!(role.contains("master") || role.contains("connected"), "{node}: {role}");
    }
    let client = redis::cluster::ClusterClient::new(nodes.clone()).expect("URLs");
    let mut connection = client.get_async_connection().await.expect("connects");
    for key in 0..64 {
        let set = redis::cmd("SET").arg(key).arg(key * 7).exec_async(&mut connection).await;
        set.expect("every slot takes writes");
    }
    for key in 0..64 {
        let got: i64 =
            redis::cmd("GET").arg(key).query_async(&mut connection).await.expect("reads");
        assert_eq!(got, key * 7);
    }
    let shape: String = redis::cmd("CLUSTER")
        .arg("NODES")
        .query_async(
            &mut redis::Client::open(nodes[0].as_str())
                .expect("a URL")
                .get_multiplexed_async_connection()
                .await
                .expect("the node answers"),
        )
        .await
        .expect("answers");
    let of = |role: &str| shape.lines().filter(|line| line.contains(role)).count();
    assert_eq!(of("master"), topology.primaries(), "{shape}");
    assert_eq!(of("slave"), topology.primaries() * topology.replicas(), "{shape}");
}

#[tokio::test]
async fn three_primaries_with_replicas_serve() {
    if !testing::skip_without_servers("three_primaries_with_replicas_serve") {
        serves(Topology::ThreeByOne).await;
    }
}

#[tokio::test]
async fn three_primaries_alone_serve() {
    if !testing::skip_without_servers("three_primaries_alone_serve") {
        serves(Topology::ThreeByZero).await;
    }
}

#[tokio::test]
async fn a_primary_alone_serves() {
    if !testing::skip_without_servers("a_primary_alone_serves") {
        serves(Topology::Standalone).await;
    }
}

#[tokio::test]
async fn one_primary_with_two_replicas_serves() {
    if !testing::skip_without_servers("one_primary_with_two_replicas_serves") {
        serves(Topology::OneByTwo).await;
    }
}
