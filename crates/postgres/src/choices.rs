//! Strategies chosen for all processes at once, and who has followed.

use std::time::Duration;

use sqlx::Row;

use crate::database::Database;
use crate::statement::{Purpose, Statement};

/// What was chosen for a namespace, in its generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Strategy and tiers, by their names; `None`: as each process is configured.
    pub wanted: Option<(String, String)>,
    /// Grows with each choice in the environment.
    pub generation: u64,
    /// When it was made, by Postgres's clock (RFC 3339).
    pub changed_at: String,
}

/// A namespace as Postgres knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceState {
    /// Its name.
    pub namespace: String,
    /// Its epoch: entries of an older one must be ignored.
    pub epoch: u32,
    /// What was chosen for it, if anybody ever did.
    pub choice: Option<Choice>,
}

/// What a process hears when it says that it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The generation under which all processes run, or a later one.
    pub slowest: u64,
    /// Every namespace.
    pub namespaces: Vec<NamespaceState>,
}

/// A process that was there lately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its name, which no other has.
    pub name: String,
    /// Where it listens.
    pub address: String,
    /// The generation that it runs under.
    pub adopted: u64,
    /// The generation under which it knows all processes to run.
    pub settled: u64,
    /// When it last said that it is there.
    pub seen_ago: Duration,
}

/// What a process that was there lately says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The name of the process.
    pub process: String,
    /// Where it listens.
    pub address: String,
    /// Its words; `None`: it has said nothing yet, or is of an earlier release.
    pub text: Option<String>,
}

/// What [`choose_strategy`] led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The generation that processes are to follow to.
    pub generation: u64,
    /// The epoch of the namespace.
    pub epoch: u32,
}

const fn statement(purpose: Purpose, collection: &'static str) -> Statement {
    Statement { namespace: "", purpose, operation: "SELECT", collection }
}

const CHOOSE: Statement = statement(Purpose::Admin, "larder.strategies");
const FOLLOW: Statement = statement(Purpose::Feed, "larder.strategies");
const PROCESSES: Statement = statement(Purpose::Feed, "larder.processes");

/// Chooses strategy and tiers of `namespace` for all processes of `environment`; `None`: what each
/// is configured for. What differs from the last choice moves the namespace's epoch in the same
/// transaction. One statement.
///
/// # Errors
///
/// When the statement fails.
pub async fn choose_strategy(
    db: &Database,
    environment: &str,
    namespace: &str,
    wanted: Option<(&str, &str)>,
) -> Result<Chosen, sqlx::Error> {
    let (strategy, tiers) = wanted.unzip();
    let row = sqlx::query("SELECT generation, epoch FROM larder.choose_strategy($1, $2, $3, $4)")
        .bind(environment)
        .bind(namespace)
        .bind(strategy)
        .bind(tiers)
        .fetch_one(db.counted(CHOOSE))
        .await?;
    let (generation, epoch): (i64, i32) = (row.try_get("generation")?, row.try_get("epoch")?);
    // Neither is ever negative.
    Ok(Chosen { generation: generation.unsigned_abs(), epoch: epoch.unsigned_abs() })
}

/// The choices of an environment, and this process among those that follow them.
///
/// Each call is one statement, counted as [`Purpose::Feed`].
#[derive(Debug)]
pub struct Choices {
    db: Database,
    environment: String,
    process: String,
    address: String,
}

impl Choices {
    /// The choices of `environment`, for a process that listens on `address`.
    #[must_use]
    pub fn new(db: Database, environment: &str, address: &str) -> Self {
        Self {
            db,
            environment: environment.to_owned(),
            process: format!("{}-{:016x}", std::process::id(), rand::random::<u64>()),
            address: address.to_owned(),
        }
    }

    /// The name of this process.
    #[must_use]
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Says that this process is there, which generations it has adopted and knows to be settled, and
    /// `report`, its words about itself; hears what was chosen. Who has not said so within `life` is
    /// not waited for.
    ///
    /// # Errors
    ///
    /// When the statement fails.
    pub async fn follow(
        &self,
        adopted: u64,
        settled: u64,
        life: Duration,
        report: Option<&str>,
    ) -> Result<Heard, sqlx::Error> {
        let sql = "SELECT * FROM larder.report_and_follow(
                       $1, $2, $3, $4, $5, make_interval(secs => $6), $7)";
        let rows = sqlx::query(sql)
            .bind(&self.environment)
            .bind(&self.process)
            .bind(&self.address)
            .bind(adopted.cast_signed())
            .bind(settled.cast_signed())
            .bind(life.as_secs_f64())
            .bind(report)
            .fetch_all(self.db.counted(FOLLOW))
            .await?;
        let mut heard = Heard { slowest: adopted, namespaces: Vec::new() };
        for row in rows {
            let slowest: i64 = row.try_get("slowest")?;
            heard.slowest = slowest.unsigned_abs();
            let epoch: i32 = row.try_get("epoch")?;
            let generation: Option<i64> = row.try_get("generation")?;
            let choice = match generation {
                None => None,
                Some(generation) => {
                    let strategy: Option<String> = row.try_get("strategy")?;
                    Some(Choice {
                        wanted: strategy.zip(row.try_get("tiers")?),
                        generation: generation.unsigned_abs(),
                        changed_at: row.try_get("changed_at")?,
                    })
                }
            };
            let namespace = row.try_get("namespace")?;
            heard.namespaces.push(NamespaceState {
                namespace,
                epoch: epoch.unsigned_abs(),
                choice,
            });
        }
        Ok(heard)
    }

    /// The processes that were there within `life`.
    ///
    /// # Errors
    ///
    /// When the statement fails.
    pub async fn processes(&self, life: Duration) -> Result<Vec<Process>, sqlx::Error> {
        let rows = sqlx::query("SELECT * FROM larder.processes_of($1, make_interval(secs => $2))")
            .bind(&self.environment)
            .bind(life.as_secs_f64())
            .fetch_all(self.db.counted(PROCESSES))
            .await?;
        rows.iter()
            .map(|row| {
                let number = |name: &str| row.try_get(name).map(i64::unsigned_abs);
                Ok(Process {
                    name: row.try_get("process")?,
                    address: row.try_get("address")?,
                    adopted: number("adopted")?,
                    settled: number("settled")?,
                    seen_ago: Duration::from_millis(number("seen_ms_ago")?),
                })
            })
            .collect()
    }

    /// What the processes that were there within `life` say of themselves, this one included.
    ///
    /// # Errors
    ///
    /// When the statement fails.
    pub async fn reports(&self, life: Duration) -> Result<Vec<Report>, sqlx::Error> {
        let rows = sqlx::query("SELECT * FROM larder.reports_of($1, make_interval(secs => $2))")
            .bind(&self.environment)
            .bind(life.as_secs_f64())
            .fetch_all(self.db.counted(PROCESSES))
            .await?;
        let report = |row: &sqlx::postgres::PgRow| {
            Ok(Report {
                process: row.try_get("process")?,
                address: row.try_get("address")?,
                text: row.try_get("report")?,
            })
        };
        rows.iter().map(report).collect()
    }

    /// Says that this process is there no longer.
    ///
    /// # Errors
    ///
    /// When the statement fails; then it is waited for until its life has passed.
    pub async fn leave(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT larder.leave($1, $2)")
            .bind(&self.environment)
            .bind(&self.process)
            .execute(self.db.counted(PROCESSES))
            .await?;
        Ok(())
    }
}
