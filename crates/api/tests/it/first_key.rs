//! The key that a new installation begins with.

use hyper::{Method, StatusCode};
use larder_stack::testing::skip_without_servers;

use crate::keys::{ask, key, patch};
use crate::support::{KEY, Process, Service, service};

/// The keys that a process printed.
fn printed(process: &Process) -> Vec<String> {
    let log = process.log();
    log.split_whitespace().filter(|word| word.starts_with("lk_")).map(str::to_owned).collect()
}

#[tokio::test]
async fn development_makes_the_first_key_and_prints_it_once() {
    if skip_without_servers("development_makes_the_first_key_and_prints_it_once") {
        return;
    }
    let service = service(&[]).await;
    let keyless = [("SERVER__ADMIN_KEY", "")];
    let first = service.another_with(&keyless).await;
    let keys = printed(&first);
    assert_eq!(keys.len(), 1, "{}", first.log());
    let second = service.another_with(&keyless).await;
    assert!(printed(&second).is_empty(), "{}", second.log());
    for process in [&first, &second] {
        assert_eq!(patch(process, &keys[0]).await.status, StatusCode::OK);
        let config = ask(process, Method::GET, "/admin/config", "", &keys[0]).await;
        assert_eq!(config.json()["server"]["admin_key"], "");
        assert_eq!(patch(process, KEY).await.status, StatusCode::UNAUTHORIZED);
        // An empty key is none.
        assert_eq!(patch(process, "").await.status, StatusCode::UNAUTHORIZED);
    }
}

async fn run(service: &Service, arguments: &[&str], settings: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = tokio::process::Command::from(service.program(settings));
    let output =
        command.args(arguments).current_dir(folder.path()).output().await.expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().expect("it ends"), String::from_utf8(said).expect("text"))
}

#[tokio::test]
async fn production_does_not_start_where_nobody_can_administer() {
    if skip_without_servers("production_does_not_start_where_nobody_can_administer") {
        return;
    }
    let service = service(&[]).await;
    let admin_url = service.database.admin_url.clone();
    let settings = [
        ("SERVER__MODE", "production"),
        ("SERVER__ADMIN_KEY", ""),
        ("SERVER__BIND", "127.0.0.1:0"),
        ("DATABASE__ADMIN_URL", admin_url.as_str()),
    ];
    // What may only write is no help.
    let write = key(&service, &["write"]).await;
    let (code, said) = run(&service, &["serve"], &settings).await;
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("server.admin_key") && said.contains("server.mode"), "{said}");
    assert!(!said.contains("lk_"), "{said}");

    let (code, said) = run(&service, &["create-key", "--scopes", "root"], &settings).await;
    assert!(code == 64 && said.contains("scopes"), "{code} {said}");
    let arguments = ["create-key", "--scopes", "admin", "--note", "the first"];
    let (code, made) = run(&service, &arguments, &settings).await;
    assert_eq!(code, 0, "{made}");
    let made = made.trim();
    let production = service.another_with(&settings).await;
    assert!(printed(&production).is_empty(), "{}", production.log());
    assert_eq!(patch(&production, made).await.status, StatusCode::OK);
    assert_eq!(patch(&production, &write.text).await.status, StatusCode::OK);
    let listed = ask(&production, Method::GET, "/admin/keys", "", made).await.json();
    let id = listed["keys"][0]["id"].as_str().expect("an id");
    assert_eq!(listed["keys"][0]["note"], "the first");
    let gone = ask(&production, Method::DELETE, &format!("/admin/keys/{id}"), "", made).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let (code, said) = run(&service, &["serve"], &settings).await;
    assert_eq!(code, 64, "a revoked one is none: {said}");
    let unknown = [("SERVER__MODE", "staging")];
    let (code, said) = run(&service, &["serve"], &unknown).await;
    assert!(code == 64 && said.contains("server.mode"), "{said}");
}
