//! `make up` and `make down` in containers. No engine runs here: a program in its place writes down what
//! it is asked.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use larder_stack::testing::{self, skip_without_servers};
use tempfile::TempDir;

use super::stack::SECRETS;
use super::{repository, text};
use crate::support::service;

/// Answers as an engine with Compose does; containers run where the file `running` is there.
const ENGINE: &str = r#"#!/bin/bash
here=$(dirname "$0")
echo "$(basename "$0") $*" >> "$here/asked"
case "$*" in
    version*) [ -f "$here/engine" ] ;;
    "compose version"*) [ -f "$here/v2" ] ;;
    *" ps -q") [ ! -f "$here/running" ] || echo 4711 ;;
    *" up -d "*) env > "$here/environment" && touch "$here/running" ;;
    "volume inspect"*) [ -f "$here/volume" ] ;;
esac
"#;

struct Machine {
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

impl Machine {
    /// With a Docker engine, and with each of `files` there.
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["docker", "docker-compose"] {
            let program = folder.path().join(name);
            std::fs::write(&program, ENGINE).expect("it is written");
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&program, mode).expect("it may be run");
        }
        let machine = Self { folder, settings: BTreeMap::new() };
        for name in files {
            machine.put(name);
        }
        machine
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.to_string());
        self
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn put(&self, name: &str) {
        std::fs::write(self.file(name), "").expect("it is written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    fn env(&self) -> BTreeMap<String, String> {
        let text = self.read("stack/env");
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }

    /// The exit code and all that was written.
    fn run(&self, script: &str, settings: &[(&str, &str)]) -> (i32, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(repository("deploy").join(script));
        command.env("PATH", format!("{}:{path}", self.folder.path().display()));
        for name in ["STACK", "CLEAN", "API_PORT", "COMPOSE_PROJECT_NAME"] {
            command.env_remove(name);
        }
        command.env("STACK_DIR", self.file("stack")).envs(&self.settings);
        let output = command.envs(settings.iter().copied()).output().expect("the script runs");
        let Output { status, stdout, stderr } = output;
        let all = [stdout, stderr].concat();
        (status.code().expect("no signal"), String::from_utf8_lossy(&all).into_owned())
    }
}

/// The port in a URL of this machine.
fn port(url: &str) -> &str {
    url.rsplit_once(':').expect("a port").1
}

#[tokio::test]
async fn up_in_containers_writes_what_native_writes_and_changes_nothing_the_second_time() {
    let test = "up_in_containers_writes_what_native_writes_and_changes_nothing_the_second_time";
    if skip_without_servers(test) {
        return;
    }
    // Somebody must be ready where the balancer would be.
    let service = service(&[]).await;
    for (files, program) in [
        (["engine", "v2", "running"].as_slice(), "docker compose"),
        (["engine", "running"].as_slice(), "docker-compose"),
    ] {
        let machine = Machine::with(files)
            .set("API_PORT", port(&service.url))
            .set("LARDER_STACK_REDIS_PORT", "7100");
        let (code, said) = machine.run("up.sh", &[]);
        assert_eq!(code, 0, "{said}");
        assert!(said.contains(&format!("Docker Compose, by {program} (a Docker engine")), "{said}");
        let asked = machine.read("asked");
        for call in ["build migrate", "up -d --remove-orphans"] {
            let call = format!("{program} -p larder -f deploy/compose.yaml {call}");
            assert!(asked.lines().any(|line| line == call), "{call} is not in {asked}");
        }

        let env = machine.env();
        let replica: u16 = port(&service.url).parse().expect("a port");
        let replicas = [1, 2].map(|more| format!("http://127.0.0.1:{}", replica + more));
        assert_eq!(env["API_URL"], replicas.join(","));
        assert_eq!(env["BALANCER_URL"], service.url);
        assert_eq!(env["REDIS_NODES"].split(',').next(), Some("redis://127.0.0.1:7100"));
        assert_eq!(env["REDIS_NODES"].split(',').count(), 6);
        for (url, role) in [("DATABASE_URL", "app"), ("DATABASE_ADMIN_URL", "admin")] {
            assert!(env[url].starts_with(&format!("postgres://larder_{role}:")), "{url}");
            assert!(env[url].ends_with("@127.0.0.1:15432/larder"), "{url}");
        }
        let mode = std::fs::metadata(machine.file("stack/env")).expect("the file").permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "it holds passwords");

        // What Compose is told, and no two secrets alike.
        let told = machine.read("environment");
        let mut secrets: Vec<&str> = SECRETS
            .iter()
            .map(|name| {
                let start = format!("{name}=");
                told.lines().find_map(|line| line.strip_prefix(&start)).expect("it is told")
            })
            .collect();
        assert!(secrets.iter().all(|secret| secret.len() == 48), "{}", secrets.len());
        assert!(env["DATABASE_URL"].contains(secrets[2]));
        secrets.sort_unstable();
        secrets.dedup();
        assert_eq!(secrets.len(), SECRETS.len());
        assert!(secrets.iter().all(|secret| !asked.contains(*secret)), "arguments are seen by all");

        let (code, said) = machine.run("up.sh", &[]);
        assert_eq!((code, machine.env()), (0, env), "{said}");

        let (code, said) = machine.run("up.sh", &[("STACK", "native")]);
        assert_eq!(code, 69, "{said}");
        assert!(said.contains("runs the other way (docker): make down first"), "{said}");

        // Without CLEAN, what is needed to open the volumes again stays.
        let (code, said) = machine.run("down.sh", &[]);
        assert_eq!(code, 0, "{said}");
        assert!(machine.file("stack/compose.secrets").exists() && machine.env().is_empty());
        assert!(!machine.read("asked").contains("--volumes"));
        let (code, said) = machine.run("down.sh", &[("CLEAN", "1")]);
        assert_eq!(code, 0, "{said}");
        assert!(machine.read("asked").contains("down --remove-orphans --volumes"));
        assert!(!machine.file("stack/compose.secrets").exists());
    }
}

#[test]
fn a_taken_port_is_named_with_its_variable() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let number = taken.local_addr().expect("bound").port().to_string();
    let free = testing::free_ports(1).to_string();
    let mut machine = Machine::with(&["engine", "v2"]).set("LARDER_STACK_POSTGRES_PORT", &number);
    // The ones that are looked at before it.
    for name in ["API_PORT", "API_1_PORT", "API_2_PORT"] {
        machine = machine.set(name, &free);
    }
    let (code, said) = machine.run("up.sh", &[]);
    assert_eq!(code, 69, "{said}");
    let line = format!(
        "Port {number} is taken by another process; choose another with LARDER_STACK_POSTGRES_PORT="
    );
    assert!(said.contains(&line), "{said}");
    assert!(!machine.read("asked").contains(" up -d"), "nothing was started");
}

#[test]
fn lost_passwords_of_kept_data_are_said_at_once() {
    let machine = Machine::with(&["engine", "v2", "volume"]);
    let (code, said) = machine.run("up.sh", &[]);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("larder_postgres") && said.contains("make down CLEAN=1"), "{said}");
    // Nor does stopping make new ones, which would hide it.
    let (code, said) = machine.run("down.sh", &[("STACK", "docker")]);
    assert_eq!(code, 0, "{said}");
    assert!(!machine.file("stack/compose.secrets").exists());
}

#[test]
fn which_way_is_chosen_and_why() {
    for (files, stack, code, part) in [
        (&[][..], "docker", 69, "STACK=docker: no Docker engine answers"),
        (&["engine", "v2"], "dockr", 64, "STACK must be native or docker, not 'dockr'"),
    ] {
        let machine = Machine::with(files);
        let (ended, said) = machine.run("up.sh", &[("STACK", stack)]);
        assert_eq!(ended, code, "{said}");
        assert!(said.contains(part), "{said}");
    }
    // What is chosen without being told; the scripts' own function, for a native start takes minutes.
    for (files, part) in [
        (&[][..], "Stack: native processes (no Docker engine answers)."),
        (&["engine", "v2"], "Stack: Docker Compose, by docker compose (a Docker engine answers"),
        (&["engine"], "Stack: Docker Compose, by docker-compose (a Docker engine answers"),
    ] {
        let machine = Machine::with(files);
        let script = machine.file("choose.sh");
        let common = repository("deploy/common.sh").display().to_string();
        std::fs::write(&script, format!("set -eu; source {common}; choose_stack"))
            .expect("it is written");
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command.arg(&script).env("STACK_DIR", machine.file("stack")).env_remove("STACK");
        command.env("PATH", format!("{}:{path}", machine.folder.path().display()));
        let said = super::succeeds(&mut command);
        assert!(said.contains(part), "{said}");
    }
    assert!(text("Makefile").contains("deploy/up.sh"), "make up is this script");
}
