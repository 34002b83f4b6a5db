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
        ("[server]\ntls_cert_file = \"Cargo.toml\"", "server.tls_cert_file"),
        ("[server]\ntls_key_file = \"Cargo.toml\"", "server.tls_key_file"),
        ("[redis]\nnodes = [7000]", "redis.nodes"),
        ("[redis]\nnodes = []", "redis.nodes"),
        ("[redis]\noverall_timeout_ms = 1", "redis.overall_timeout_ms"),
        ("[redis]\nca_file = \"missing.pem\"", "redis.ca_file"),
        ("[redis]\nca_file = \"Cargo.toml\"", "redis.ca_file"),
        ("[redis]\nkey_file = \"Cargo.toml\"", "redis.cert_file"),
        ("[database]\nstatement_timeout_ms = 0", "database.statement_timeout_ms"),
        ("[database]\nurl = \"mysql://x\"", "database.url"),
        ("[database]\nfeed_url = \"mysql://x\"", "database.feed_url"),
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
        ("[telemetry]\notlp_endpoint = \"http://a:b@one:1\"", "telemetry.otlp_endpoint"),
        ("[telemetry]\notlp_endpoint = \"no URL\"", "telemetry.otlp_endpoint"),
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

/// What `LARDER__…_FILE` variables make of files with these contents.
fn load_files(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut all: Vec<(&str, String)> = variables.iter().map(|(k, v)| (*k, (*v).into())).collect();
    for (index, (name, content)) in files.iter().enumerate() {
        let file = folder.path().join(index.to_string());
        std::fs::write(&file, content).expect("writes");
        all.push((name, file.display().to_string()));
    }
    let all: Vec<(&str, &str)> = all.iter().map(|(k, v)| (*k, v.as_str())).collect();
    load_text("", &all)
}

#[test]
fn every_setting_can_come_from_a_file() {
    let config = load_files(
        &[
            ("LARDER__DATABASE__URL_FILE", "postgres://app:a b@db/x\n"),
            ("LARDER__SERVER__WORKERS_FILE", "4\r\n"),
            ("LARDER__REDIS__NODES_FILE", "redis://a:1,redis://b:2"),
            ("LARDER__NAMESPACES__PRODUCT_PAGE__STRATEGY_FILE", "ttl"),
            ("LARDER__SERVER__ADMIN_KEY_FILE", "sixteen or more \n\n"),
        ],
        &[],
    )
    .expect("is valid");
    assert_eq!(config.database.url, "postgres://app:a b@db/x");
    assert_eq!(config.server.workers, 4);
    assert_eq!(config.redis.nodes, ["redis://a:1", "redis://b:2"]);
    assert_eq!(config.namespaces.0["product-page"].strategy, "ttl");
    // One newline is the editor's; what is before it is the secret's.
    assert_eq!(config.server.admin_key, "sixteen or more \n");
}

#[test]
fn a_setting_of_two_sources_and_a_file_that_cannot_be_read_are_named() {
    let url = ("LARDER__DATABASE__URL_FILE", "postgres://one/x");
    let both = load_files(&[url], &[("LARDER__DATABASE__URL", "postgres://two/x")]);
    let message = both.map(drop).expect_err("two sources").to_string();
    for named in ["LARDER__DATABASE__URL_FILE", "LARDER__DATABASE__URL:"] {
        assert!(message.contains(named), "{message}");
    }
    let missing = [("LARDER__DATABASE__URL_FILE", "/no/such/file")];
    let message = load_text("", &missing).map(drop).expect_err("no file").to_string();
    assert!(message.starts_with("LARDER__DATABASE__URL_FILE: /no/such/file: "), "{message}");
    let unknown = [("LARDER__DATABASE__URI_FILE", "/no/such/file")];
    let message = load_text("", &unknown).map(drop).expect_err("no setting").to_string();
    assert!(message.contains("database.uri_file"), "{message}");
    // A setting that is itself the name of a file is taken as it is.
    let own = [("LARDER__REDIS__CA_FILE", "missing.pem")];
    let message = load_text("", &own).map(drop).expect_err("no file").to_string();
    assert!(message.starts_with("redis.ca_file: missing.pem: "), "{message}");
}

#[test]
fn a_file_that_is_no_toml_is_named_by_line_and_its_text_not_repeated() {
    let text = "[database]\nurl = \"postgres://app:secret@db/x";
    let message = load_text(text, &[]).map(drop).expect_err("no TOML").to_string();
    assert!(message.contains("larder.toml: line 2: "), "{message}");
    assert!(!message.contains("secret"), "{message}");
}

#[test]
fn secrets_are_masked() {
    let variables = [
        ("LARDER__SERVER__ADMIN_KEY", "secret-of-sixteen"),
        ("LARDER__DATABASE__URL", "postgres://app:secret@db/x"),
        ("LARDER__DATABASE__FEED_URL", "postgres://feed:secret@db/x"),
        ("LARDER__DATABASE__ADMIN_URL", "postgres://admin@db/x?sslmode=require&password=secret"),
        ("LARDER__REDIS__NODES", "redis://:secret@one:1"),
        ("LARDER__TELEMETRY__OTLP_ENDPOINT", "http://one:1/?token=secret"),
    ];
    let config = load_text("", &variables).expect("is valid");
    let shown = toml::to_string(&config.masked()).expect("has a TOML form");
    assert!(!shown.contains("secret"), "{shown}");
    for url in [
        "postgres://db/x?user=app&password=a@secret",
        "postgres://db:5432/x?user=app&password=secret@a",
        "postgres://app:a@db/x?password=secret@b",
        "postgres://app:secret?a@db/x",
    ] {
        let config = load_text("", &[("LARDER__DATABASE__ADMIN_URL", url)]).expect("is valid");
        let shown = toml::to_string(&config.masked()).expect("has a TOML form");
        assert!(!shown.contains("secret"), "{shown}");
    }
    assert!(shown.contains("postgres://app:***@db/x"), "{shown}");
    assert!(shown.contains("postgres://admin@db/x?sslmode=require&password=***"), "{shown}");
    assert_eq!(format!("{config:?}"), shown);
    let broken = load_text("", &[("LARDER__DATABASE__URL", "secret")]).map(drop);
    let message = broken.expect_err("is no URL").to_string();
    assert!(!message.contains("secret"), "{message}");
}
