//! Programs beside the servers, as `make up` starts them.

use std::net::TcpListener;
use std::process::Command;

#[test]
fn a_taken_port_is_named_with_the_variable_that_moves_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = foreign.local_addr().expect("an address").port();
    for variable in ["API_PORT", "API_2_PORT"] {
        let ready = format!("http://127.0.0.1:{port}/readyz");
        let program = env!("CARGO_BIN_EXE_larder-stack");
        let ran = Command::new(program)
            .arg("--state-dir")
            .arg(folder.path())
            .args(["service", "start", "api-2", "--ready", &ready, "--moved-by", variable])
            .args(["--", program, "--help"])
            .output()
            .expect("runs");
        assert!(!ran.status.success());
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let words = format!("port {port} (api-2) is taken by another process");
        assert!(said.contains(&words) && said.ends_with(&format!(" with {variable}\n")), "{said}");
        assert!(!folder.path().join("services/api-2/process.json").exists(), "nothing is started");
    }
}
