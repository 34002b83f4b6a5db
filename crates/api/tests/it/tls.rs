//! Encrypted: the listener, and the way to Postgres.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use catalog_repository::migrate;
use catalog_repository::seed::{SeedOptions, generate};
use http_body_util::{BodyExt, Full};
use hyper::StatusCode;
use hyper_util::rt::TokioIo;
use larder_stack::Topology;
use larder_stack::testing::{self, TestDatabase, skip_without_servers};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::startup::run;
use crate::support::{Process, Service, eventually, larder, service};

/// How long Postgres may take to read its settings again.
const PATIENCE: Duration = Duration::from_secs(20);

/// An authority of the test's own, and a certificate that it signed, in files.
pub(crate) struct Certificates {
    folder: TempDir,
    authority: CertificateDer<'static>,
    /// The certificate, in PEM.
    pub(crate) cert: String,
    /// Its key, in PEM.
    pub(crate) key: String,
}

impl Certificates {
    /// For the server `name`.
    pub(crate) fn of(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let own = KeyPair::generate().expect("a key");
        let authority = CertifiedIssuer::self_signed(params, own).expect("signs itself");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let cert = params.signed_by(&key, &authority).expect("is signed").pem();
        let key = key.serialize_pem();
        let folder = tempfile::tempdir().expect("a folder");
        for (file, pem) in [("ca.pem", &authority.pem()), ("cert.pem", &cert), ("key.pem", &key)] {
            std::fs::write(folder.path().join(file), pem).expect("writes");
        }
        Self { folder, authority: authority.der().clone(), cert, key }
    }

    /// `ca.pem`, `cert.pem` or `key.pem`.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The settings of a service that listens with them.
    pub(crate) fn settings(&self) -> [(String, String); 2] {
        [("cert.pem", "CERT"), ("key.pem", "KEY")]
            .map(|(file, what)| (format!("SERVER__TLS_{what}_FILE"), self.file(file)))
    }

    /// What `process` answers to one who trusts the authority; why there is no answer, if there is
    /// none.
    pub(crate) async fn ask(
        &self,
        process: &Process,
        request: hyper::http::request::Builder,
        body: &str,
    ) -> Result<(StatusCode, String), std::io::Error> {
        let mut trusted = RootCertStore::empty();
        trusted.add(self.authority.clone()).expect("a certificate");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(trusted)
            .with_no_client_auth();
        let address = process.url.trim_start_matches("http://");
        let name = ServerName::try_from("127.0.0.1").expect("an address");
        let stream = TcpStream::connect(address).await?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let request = request.header("host", address).body(body).expect("a valid request");
        let answer = sender.send_request(request).await.map_err(std::io::Error::other)?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// A process of `service` that listens with certificates of its own.
async fn listening(service: &Service) -> (Certificates, Process) {
    let certificates = Certificates::of("127.0.0.1");
    let settings = certificates.settings();
    let settings = settings.each_ref().map(|(key, value)| (key.as_str(), value.as_str()));
    let process = service.another_with(&settings).await;
    (certificates, process)
}

#[tokio::test]
async fn the_service_listens_by_tls() {
    if skip_without_servers("the_service_listens_by_tls") {
        return;
    }
    let service = service(&[]).await;
    let (certificates, process) = listening(&service).await;
    let get = |path: &str| hyper::Request::get(path);
    let (status, body) = certificates.ask(&process, get("/products/1"), "").await.expect("answers");
    assert_eq!(status, 200, "{body}");
    // Who trusts another authority sends nothing, and who speaks plainly is not answered.
    let stranger = Certificates::of("127.0.0.1").ask(&process, get("/products/1"), "").await;
    let refusal = stranger.expect_err("is not trusted").to_string();
    assert!(refusal.contains("certificate"), "{refusal}");
    assert!(process.try_get("/healthz").await.is_none());
    assert_eq!(certificates.ask(&process, get("/healthz"), "").await.expect("answers").0, 200);
}

#[tokio::test]
async fn the_command_line_trusts_the_authorities_that_it_is_told_of() {
    if skip_without_servers("the_command_line_trusts_the_authorities") {
        return;
    }
    let service = service(&[]).await;
    let (certificates, process) = listening(&service).await;
    let https = process.url.replace("http://", "https://");
    let ask = async |arguments: &[&str]| {
        larder(&process, &[arguments, &["--api", &https]].concat()).await
    };
    let (own, key) = (certificates.file("ca.pem"), certificates.file("key.pem"));
    let (said, code) = ask(&["stats", "--ca", &own]).await;
    assert!(code == 0 && said.contains("product-page"), "{said}");
    let load = ["load", "--seconds", "1", "--rate", "20", "--ca", &own];
    let (said, code) = ask(&load).await;
    assert!(code == 0 && said.contains("0 errors"), "{said}");

    // Neither the system nor a stranger vouches for it.
    let stranger = Certificates::of("127.0.0.1");
    for arguments in [vec!["stats"], vec!["stats", "--ca", &stranger.file("ca.pem")]] {
        let (said, code) = ask(&arguments).await;
        assert!(code == 69 && said.contains("certificate"), "{said}");
    }
    for (file, why) in [("/no/such.pem", "No such file"), (&key, "holds no certificate")] {
        let (said, code) = ask(&["stats", "--ca", file]).await;
        assert!(code == 64 && said.contains("--ca") && said.contains(why), "{said}");
    }
    let (said, code) = larder(&process, &["stats", "--api", "ftp://127.0.0.1"]).await;
    assert!(code == 64 && said.contains("https://"), "{said}");
}

#[test]
fn files_that_cannot_be_listened_with_are_named_before_a_port_is_bound() {
    let (certificates, other) = (Certificates::of("127.0.0.1"), Certificates::of("127.0.0.1"));
    let (cert, key) = (certificates.file("cert.pem"), certificates.file("key.pem"));
    let cases = [
        (cert.as_str(), "", "server.tls_cert_file: goes with server.tls_key_file"),
        ("", &key, "server.tls_key_file: goes with server.tls_cert_file"),
        ("/no/such.pem", &key, "server.tls_cert_file: /no/such.pem: "),
        (&cert, "/no/such.pem", "server.tls_key_file: /no/such.pem: "),
        (&key, &key, "server.tls_cert_file: "),
        (&cert, &cert, "server.tls_key_file: "),
        (&cert, &other.file("key.pem"), "does not fit server.tls_cert_file"),
    ];
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let bind = taken.local_addr().expect("an address").to_string();
    for (cert, key, said) in cases {
        let settings = [
            ("SERVER__BIND", bind.as_str()),
            ("SERVER__TLS_CERT_FILE", cert),
            ("SERVER__TLS_KEY_FILE", key),
        ];
        let (code, _, stderr) = run(&["serve"], &settings);
        assert_eq!(code, Some(64), "{stderr}");
        assert!(stderr.contains(said), "{said}: {stderr}");
    }
}

/// Makes the server of `database` listen with `certificates`.
async fn install(certificates: &Certificates, database: &TestDatabase) {
    // It writes them itself: it takes no key that others could read.
    for (pem, file) in [(&certificates.cert, "server.crt"), (&certificates.key, "server.key")] {
        let lines = format!("SELECT unnest(string_to_array('{}', E'\\n'))", pem.trim_end());
        let copy = format!("COPY ({lines}) TO PROGRAM 'umask 077 && cat > {file}'");
        database.execute(&copy).await;
    }
    database.execute("ALTER SYSTEM SET ssl = on").await;
    database.execute("SELECT pg_reload_conf()").await;
}

/// The sessions of `role` that are encrypted, or are not.
async fn has_session(database: &TestDatabase, role: &str, encrypted: bool) -> bool {
    let sessions = format!(
        "SELECT FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid)
         WHERE a.usename = '{role}' AND s.ssl = {encrypted}"
    );
    let check = format!(
        "DO $$ BEGIN IF NOT EXISTS ({sessions}) THEN RAISE EXCEPTION 'none'; END IF; END $$"
    );
    database.try_execute(&check).await.is_ok()
}

#[tokio::test]
async fn statements_travel_encrypted_to_a_postgres_that_is_who_it_says() {
    if skip_without_servers("statements_travel_encrypted") {
        return;
    }
    let certificates = Certificates::of("127.0.0.1");
    let postgres = testing::private_postgres().await;
    let database = postgres.database().await;
    install(&certificates, &database).await;
    let redis = testing::redis_cluster(Topology::ThreeByZero).await;
    let by =
        |url: &str, authority: &str| format!("{url}?sslmode=verify-full&sslrootcert={authority}");
    let authority = certificates.file("ca.pem");
    // The reload takes a moment.
    let admin_url = by(&database.admin_url, &authority);
    eventually(PATIENCE, "Postgres takes TLS", async || migrate(&admin_url).await.is_ok()).await;
    let options = SeedOptions { products: 20, reviews: 20, ..SeedOptions::default() };
    generate(&admin_url, &options, |_| ()).await.expect("the catalogue is filled");

    let settings = |authority: &str| {
        [
            ("DATABASE__URL", by(&database.app_url, authority)),
            ("DATABASE__FEED_URL", by(&database.feed_url, authority)),
            ("REDIS__NODES", redis.nodes().join(",")),
            ("CACHE__ENVIRONMENT", testing::unique("tls")),
        ]
        .map(|(key, value)| (key.to_owned(), value))
    };
    let process = Process::start(&settings(&authority)).await;
    assert_eq!(process.get("/products/1").await.status, 200);
    for role in [&database.app_role, &database.feed_role] {
        assert!(has_session(&database, role, true).await, "{role} is not connected by TLS");
        assert!(!has_session(&database, role, false).await, "{role} is connected in the clear");
    }
    drop(process);

    // Another authority's word is not taken, …
    let refused = |authority: &str| {
        let settings = settings(authority);
        let mut settings: Vec<(&str, &str)> =
            settings.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        settings.push(("SERVER__BIND", "127.0.0.1:0"));
        let (code, _, said) = run(&["serve"], &settings);
        assert_eq!(code, Some(69), "{said}");
        said
    };
    let stranger = Certificates::of("127.0.0.1");
    let said = refused(&stranger.file("ca.pem"));
    assert!(said.contains("invalid peer certificate"), "{said}");
    // … nor another name's certificate.
    let elsewhere = Certificates::of("elsewhere.example");
    install(&elsewhere, &database).await;
    let authority = elsewhere.file("ca.pem");
    let nameless = format!("{}?sslmode=verify-ca&sslrootcert={authority}", database.admin_url);
    eventually(PATIENCE, "Postgres has the other certificate", async || {
        migrate(&nameless).await.is_ok()
    })
    .await;
    let said = refused(&authority);
    assert!(said.contains("not valid for name"), "{said}");
}
