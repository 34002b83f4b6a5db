//! A database for one measurement, such as another catalogue.

use anyhow::Result;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::Bed;

/// A database that is dropped when the measurement is done.
#[derive(Debug)]
pub struct Database {
    name: String,
    server_url: String,
    admin_url: String,
}

impl Database {
    /// Makes one beside the stack's own.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn create(bed: &Bed) -> Result<Self> {
        let name = format!("bench_{:016x}", rand::random::<u64>());
        let server_url = bed.admin_url().to_owned();
        let (server, _) = server_url.rsplit_once('/').unwrap_or((&server_url, ""));
        let admin_url = format!("{server}/{name}");
        run(&server_url, format!("CREATE DATABASE {name}")).await?;
        Ok(Self { name, server_url, admin_url })
    }

    /// The administrator's URL for it.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// Drops it.
    ///
    /// # Errors
    ///
    /// When Postgres does not answer.
    pub async fn drop_it(self) -> Result<()> {
        run(&self.server_url, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await
    }
}

/// Runs SQL of this module's own making.
pub(super) async fn run(url: &str, sql: String) -> Result<()> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}
