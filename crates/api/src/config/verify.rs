//! `[verify]`

use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `[verify]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct VerifyConfig {
    /// The part of the cache's answers whose age is found out in Postgres; 0: none.
    pub sample: f64,
}

impl VerifyConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(&self.sample) {
            return Ok(());
        }
        Err(ConfigError::value("verify.sample", "must be from 0 to 1"))
    }
}
