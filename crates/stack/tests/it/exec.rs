//! `larder-stack exec`: throw-away servers around a command.

use std::net::TcpStream;
use std::process::Command;

use larder_stack::testing;

#[test]
fn servers_live_as_long_as_the_command_and_its_exit_code_is_kept() {
    if testing::skip_without_servers("servers_live_as_long_as_the_command") {
        return;
    }
    let script = "echo $LARDER_TEST_DATABASE_ADMIN_URL $LARDER_TEST_REDIS_NODES; exit 7";
    let ran = Command::new(env!("CARGO_BIN_EXE_larder-stack"))
        .args(["exec", "--topology", "3x0", "--", "sh", "-c", script])
        .output()
        .expect("runs");
    assert_eq!(ran.status.code(), Some(7), "{ran:?}");
    let said = String::from_utf8(ran.stdout).expect("UTF-8");
    let (postgres, nodes) = said.trim().split_once(' ').expect("both addresses");
    let nodes: Vec<&str> = nodes.split(',').collect();
    assert_eq!(nodes.len(), 3, "{said}");
    let postgres = postgres.rsplit('@').next().and_then(|rest| rest.split('/').next());
    let postgres = postgres.expect("an address").to_owned();
    let addresses = nodes.iter().map(|node| node.trim_start_matches("redis://").to_owned());
    for address in addresses.chain([postgres]) {
        assert!(TcpStream::connect(&address).is_err(), "{address} is still served");
    }
}

#[test]
fn a_command_that_is_not_there_is_named() {
    if testing::skip_without_servers("a_command_that_is_not_there_is_named") {
        return;
    }
    let ran = Command::new(env!("CARGO_BIN_EXE_larder-stack"))
        .args(["exec", "--topology", "3x0", "--", "no-such-program"])
        .output()
        .expect("runs");
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("no-such-program"), "{said}");
}
