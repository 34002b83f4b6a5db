use std::path::Path;

use super::*;

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("larder.toml");
    std::fs::write(&file, text).expect("writes");
    let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    load(&file, true, variables)
}

#[test]
fn the_checked_in_file_is_valid_and_documents_the_defaults() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../larder.toml");
    let config = load(&file, true, std::iter::empty()).expect("is valid");
    let table = |config: &Config| toml::Table::try_from(config).expect("has a TOML form");
    assert_eq!(table(&config), table(&Config::default()));
    // Every key is there, so every key is documented.
    let text = std::fs::read_to_string(&file).expect("reads");
    let written: toml::Table = text.parse().expect("is TOML");
    assert_eq!(written, table(&Config::default()));
}

#[test]
fn variables_override_the_file_and_the_file_the_defaults() {
    let config = load_text(
        "[server]\nworkers = 3\n[namespaces.product-page]\nttl_ms = 5",
        &[
            ("LARDER__SERVER__WORKERS", "4"),
            ("LARDER__REDIS__NODES", "redis://a:1, redis://b:2"),
            ("LARDER__NAMESPACES__PRODUCT_PAGE__STRATEGY", "ttl"),
            ("LARDER__CACHE__ENVIRONMENT", "007"),
            ("LARDER__TELEMETRY__SAMPLE_RATIO", "1"),
            ("LARDERX", "is none of ours"),
        ],
    )
    .expect("is valid");
    assert_eq!(config.server.workers, 4);
    assert_eq!(config.redis.nodes, ["redis://a:1", "redis://b:2"]);
    assert_eq!(config.cache.environment, "007");
    let page = config.namespace(catalog_domain::View::ProductPage).expect("is valid");
    assert_eq!(page.strategy, catalog_service::Strategy::Ttl);
    assert_eq!(page.options.ttl, Some(std::time::Duration::from_millis(5)));
}

#[test]
fn every_mistake_names_its_key() {
    let cases = [
        ("[server]\nbnid = \"x\"", "server.bnid"),
        ("[sever]\nbind = \"x\"", "sever"),
        ("[server]\nworkers = \"two\"", "server.workers"),
        ("[server]\nworkers = -1", "server.workers"),
        ("[server]\nbind = \"localhost\"", "server.bind"),
        ("[server]\nrequest_deadline_ms = 0", "server.request_deadline_ms"),
        ("[server]\nadmin_key = \"short\"", "server.admin_key"),
        ("[redis]\nnodes = [7000]", "redis.nodes"),
        ("[redis]\nnodes = []", "redis.nodes"),
        ("[redis]\noverall_timeout_ms = 1", "redis.overall_timeout_ms"),
        ("[redis]\nca_file = \"missing.pem\"", "redis.ca_file"),
        ("[redis]\nca_file = \"Cargo.toml\"", "redis.ca_file"),
        ("[redis]\nkey_file = \"Cargo.toml\"", "redis.cert_file"),
        ("[database]\nstatement_timeout_ms = 0", "database.statement_timeout_ms"),
        ("[database]\nurl = \"mysql://x\"", "database.url"),
        ("[namespaces.prices]\nttl_ms = 1", "namespaces.prices"),
        (
            "[namespaces.product-page]\nstrategy = \"write-back\"",
            "namespaces.product-page.strategy",
        ),
        ("[namespaces.product-page]\ntiers = \"l3\"", "namespaces.product-page.tiers"),
        ("[namespaces.product-page]\nl1_eviction = \"mru\"", "namespaces.product-page.l1_eviction"),
        (
            "[namespaces.product-page]\ntiers = \"l1\"\nl1_capacity_bytes = 1",
            "namespaces.product-page.l1_capacity_bytes",
        ),
        ("[namespaces.product-page]\njitter = 1.5", "namespaces.product-page.jitter"),
        ("[namespaces.product-page]\ncoalesce = \"all\"", "namespaces.product-page.coalesce"),
        (
            "[namespaces.product-page]\nload_deadline_ms = 0",
            "namespaces.product-page.load_deadline_ms",
        ),
        ("[namespaces.product-page]\nstrategy = \"none\"", "namespaces.product-page.tiers"),
        (
            "[namespaces.product-page]\nstrategy = \"ttl\"\nttl_ms = 0",
            "namespaces.product-page.ttl_ms",
        ),
        (
            "[namespaces.product-page]\ntombstone_ttl_ms = 7000",
            "namespaces.product-page.tombstone_ttl_ms",
        ),
        ("[telemetry]\notlp_protocol = \"udp\"", "telemetry.otlp_protocol"),
        ("[telemetry]\nsample_ratio = 2.0", "telemetry.sample_ratio"),
        ("[verify]\nsample = 1.5", "verify.sample"),
        ("[verify]\nsample = nan", "verify.sample"),
        ("[cache]\nenvironment = \"\"", "cache.environment"),
        ("[server", "larder.toml"),
    ];
    for (text, key) in cases {
        let message = load_text(text, &[]).map(drop).expect_err(text).to_string();
        assert!(message.contains(key), "{text:?}: {message}");
    }
    let variables = [
        ("LARDER__SERVER__BNID", "server.bnid"),
        ("LARDER__SERVER", "server"),
        ("LARDER__SERVER__BIND__PORT", "server.bind"),
        ("LARDER__SERVER__WORKERS", "server.workers"),
    ];
    for (name, key) in variables {
        let message = load_text("", &[(name, "x")]).map(drop).expect_err(name).to_string();
        assert!(message.contains(key), "{name}: {message}");
    }
}

#[test]
fn a_file_that_was_asked_for_must_be_there() {
    let missing = Path::new("no-such-file.toml");
    assert!(load(missing, false, std::iter::empty()).is_ok());
    let error = load(missing, true, std::iter::empty()).map(drop).expect_err("is not there");
    assert!(error.to_string().contains("no-such-file.toml"), "{error}");
}

#[test]
fn secrets_are_masked() {
    let variables = [
        ("LARDER__SERVER__ADMIN_KEY", "secret-of-sixteen"),
        ("LARDER__DATABASE__URL", "postgres://app:secret@db/x"),
        ("LARDER__DATABASE__FEED_URL", "postgres://feed:secret@db/x"),
        ("LARDER__DATABASE__ADMIN_URL", "postgres://admin:secret@db/x"),
        ("LARDER__REDIS__NODES", "redis://:secret@one:1"),
        ("LARDER__TELEMETRY__OTLP_ENDPOINT", "http://user:secret@one:1"),
    ];
    let config = load_text("", &variables).expect("is valid");
    let shown = toml::to_string(&config.masked()).expect("has a TOML form");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("postgres://app:***@db/x"), "{shown}");
    let broken = load_text("", &[("LARDER__DATABASE__URL", "secret")]).map(drop);
    let message = broken.expect_err("is no URL").to_string();
    assert!(!message.contains("secret"), "{message}");
}
