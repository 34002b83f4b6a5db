//! Real servers for tests and benchmarks.
//!
//! Below `larder-stack exec` (as in `make test`) tests share one Postgres and one Redis
//! Cluster, each test with a database, a role or a key prefix of its own. Elsewhere each test
//! that asks starts servers of its own. Either way they end with the test, even when it
//! panics or is killed.

mod postgres;
mod redis;

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rand::RngExt;
use tempfile::TempDir;

pub(crate) use self::postgres::start_postgres;
pub use self::postgres::{
    OpenTransaction, TableLock, TestDatabase, TestPostgres, postgres, private_postgres,
};
pub(crate) use self::redis::start_redis;
pub use self::redis::{TestRedis, private_redis_cluster, redis_cluster};
use crate::binaries::Binaries;
use crate::error::StackError;
use crate::ports::free_range;

/// The shared Postgres's superuser URL, set by `exec`.
pub const SHARED_POSTGRES: &str = "LARDER_TEST_DATABASE_ADMIN_URL";
/// The shared cluster's nodes, comma-separated, set by `exec`.
pub const SHARED_REDIS: &str = "LARDER_TEST_REDIS_NODES";
/// Set, missing servers are a failure; else the tests that need them say so and pass.
pub const REQUIRE_SERVERS: &str = "LARDER_REQUIRE_SERVERS";

/// Ports are looked for again when another test was quicker.
const TRIES: u32 = 5;

/// What to install, if a server's program is missing.
#[must_use]
pub fn servers_missing() -> Option<String> {
    Binaries::find().err().map(|error| error.to_string())
}

/// Whether `test` must be skipped for want of servers; says so on standard error.
///
/// # Panics
///
/// When servers are missing and [`REQUIRE_SERVERS`] is set.
#[must_use]
pub fn skip_without_servers(test: &str) -> bool {
    let Some(missing) = servers_missing() else { return false };
    assert!(std::env::var_os(REQUIRE_SERVERS).is_none(), "{test} needs servers: {missing}");
    eprintln!("SKIPPED {test}: {missing}");
    true
}

/// A name that no other test uses.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let random: u64 = rand::rng().random();
    format!("{prefix}_{random:016x}_{count}")
}

/// The first of `count` free ports in a row. Another test may take them first: try again then.
#[must_use]
pub fn free_ports(count: u16) -> u16 {
    free_range(count)
}

/// A temporary folder that the user Postgres runs as can enter.
fn folder() -> Result<TempDir, StackError> {
    use std::os::unix::fs::PermissionsExt;

    let temporary = std::env::temp_dir();
    tempfile::Builder::new()
        .prefix("larder-")
        .permissions(std::fs::Permissions::from_mode(0o755))
        .tempdir()
        .map_err(StackError::file(temporary))
}

/// Where recorded inputs are: `$LARDER_DATA`, or `../shared/data` beside the workspace.
/// `None`, said on standard error, where `file` is not there.
#[must_use]
pub fn data_file(test: &str, file: &str) -> Option<std::path::PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("LARDER_DATA").map_or(beside, Into::into);
    let path = folder.join(file);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED {test}: {} is not there (set LARDER_DATA)", path.display());
    None
}
