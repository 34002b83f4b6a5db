//! `server.tls_cert_file`, `server.tls_key_file`: whether and how the service listens by TLS.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::ConfigError;
use super::settings::Config;

const CERT: &str = "server.tls_cert_file";
const KEY: &str = "server.tls_key_file";

impl Config {
    /// How to listen by TLS (1.2 and 1.3); `None`: in the clear.
    ///
    /// # Errors
    ///
    /// Names the setting whose file cannot be read, or does not hold what it should.
    pub fn tls(&self) -> Result<Option<ServerConfig>, ConfigError> {
        let (cert, key) = (&self.server.tls_cert_file, &self.server.tls_key_file);
        match (cert.is_empty(), key.is_empty()) {
            (true, true) => return Ok(None),
            (false, false) => {}
            (true, false) => {
                let reason = "goes with server.tls_cert_file: set both, or neither";
                return Err(ConfigError::value(KEY, reason));
            }
            (false, true) => {
                let reason = "goes with server.tls_key_file: set both, or neither";
                return Err(ConfigError::value(CERT, reason));
            }
        }
        let pem = read(CERT, cert)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or_else(|| refused(CERT, cert, "has no certificate in PEM"))?;
        // What a key's file holds is not repeated.
        let key_der = PrivateKeyDer::from_pem_slice(&read(KEY, key)?)
            .map_err(|_| refused(KEY, key, "has no private key in PEM"))?;
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(chain, key_der)
            .map(Some)
            .map_err(|error| refused(KEY, key, format!("does not fit {CERT}: {error}")))
    }
}

fn read(setting: &str, file: &str) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(file).map_err(|error| refused(setting, file, error))
}

fn refused(setting: &str, file: &str, reason: impl std::fmt::Display) -> ConfigError {
    ConfigError::value(setting, format!("{file}: {reason}"))
}
