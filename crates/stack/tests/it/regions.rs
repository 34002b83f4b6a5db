//! Two regions: a Redis Cluster each, beside one Postgres.

use std::net::TcpListener;

use larder_stack::{Stack, StackError, StackOptions, Topology, env_file, testing};

use crate::lifecycle::{Fixture, folder, options};

async fn two_up() -> Fixture {
    let mut tries = 0;
    loop {
        let folder = folder();
        let second = testing::free_ports(3);
        let options = options(&folder, Topology::ThreeByZero).with_second_region(Some(second));
        let fixture = Fixture { stack: Stack::new(options), folder };
        match fixture.stack.up().await {
            Ok(_) => return fixture,
            // Another test was quicker.
            Err(StackError::PortTaken { .. }) if tries < 5 => tries += 1,
            Err(error) => panic!("{error}"),
        }
    }
}

async fn set(node: &str) {
    let client = redis::cluster::ClusterClient::new(vec![node]).expect("URLs");
    let mut connection = client.get_async_connection().await.expect("connects");
    redis::cmd("SET").arg("where").arg(node).exec_async(&mut connection).await.expect("writes");
}

async fn get(node: &str) -> Option<String> {
    let client = redis::cluster::ClusterClient::new(vec![node]).expect("URLs");
    let mut connection = client.get_async_connection().await.expect("connects");
    redis::cmd("GET").arg("where").query_async(&mut connection).await.expect("reads")
}

#[tokio::test]
async fn two_regions_come_up_beside_each_other_and_go_down_together() {
    if testing::skip_without_servers("two_regions_come_up_beside_each_other_and_go_down_together") {
        return;
    }
    let fixture = two_up().await;
    let stack = &fixture.stack;
    assert!(stack.is_serving().await);
    let info = stack.up().await.expect("is up already");
    let [first, second] = &info.redis_nodes[..] else { panic!("{info:?}") };
    assert_eq!((first.len(), second.len()), (3, 3));
    // What one of them is told the other one does not know.
    set(&first[0]).await;
    assert_eq!(get(&second[0]).await, None);
    assert_eq!(get(&first[1]).await.as_ref(), Some(&first[0]));

    let state = fixture.folder.path().join("state");
    let env = env_file::read(&state.join("env")).expect("is there");
    let value = |name: &str| env.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone());
    assert_eq!(value("REDIS_NODES"), Some(first.join(",")));
    assert_eq!(value("REDIS_NODES_2"), Some(second.join(",")));
    let names: Vec<String> = stack.status().into_iter().map(|server| server.name).collect();
    let expected =
        ["postgres", "redis-0", "redis-1", "redis-2", "redis-2-0", "redis-2-1", "redis-2-2"];
    assert_eq!(names, expected);
    assert!(stack.status().iter().all(|server| server.pid.is_some()));

    // Who finds the stack later finds both; neither alone is enough to serve.
    let found = Stack::open(&state).expect("was brought up");
    assert_eq!(found.status(), stack.status());
    let lost = stack.status().pop().and_then(|server| server.pid).expect("runs").to_string();
    std::process::Command::new("kill").args(["-KILL", &lost]).status().expect("kill runs");
    assert!(!found.is_serving().await);
    assert_eq!(found.up().await.expect("is repaired"), info);
    assert!(found.is_serving().await);

    found.down(true).expect("stops");
    assert!(stack.status().iter().all(|server| server.pid.is_none()));
    assert!(!state.join("redis").exists() && !state.join("redis-2").exists());
}

#[tokio::test]
async fn a_taken_port_of_the_second_region_names_its_own_variable() {
    if testing::skip_without_servers("a_taken_port_of_the_second_region_names_its_own_variable") {
        return;
    }
    let folder = folder();
    let foreign = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = foreign.local_addr().expect("an address").port();
    let options = options(&folder, Topology::ThreeByZero).with_second_region(Some(port));
    let fixture = Fixture { stack: Stack::new(options), folder };
    let said = fixture.stack.up().await.expect_err("the port is taken").to_string();
    assert!(said.contains(&port.to_string()), "{said}");
    assert!(said.contains("LARDER_STACK_REDIS2_PORT"), "{said}");
}

#[test]
fn a_second_region_follows_the_first_ones_ports() {
    let mut options = StackOptions::new("nowhere");
    assert_eq!(options.second_redis_base_port, None);
    options.redis_base_port = 7_500;
    assert_eq!(options.clone().with_second_region(None).second_redis_base_port, Some(7_600));
    assert_eq!(options.with_second_region(Some(9_000)).second_redis_base_port, Some(9_000));
}

#[test]
fn a_record_from_before_there_were_regions_is_read_as_one() {
    let folder = folder();
    let record = r#"{"topology": "3x0", "postgres_port": 15432, "redis_base_port": 7000}"#;
    std::fs::write(folder.path().join("stack.json"), record).expect("writes");
    let stack = Stack::open(folder.path()).expect("is readable");
    let names: Vec<String> = stack.status().into_iter().map(|server| server.name).collect();
    assert_eq!(names, ["postgres", "redis-0", "redis-1", "redis-2"]);
}
