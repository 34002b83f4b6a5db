//! What a journal holds, and its dead letters.

use larder::{DeadLetter, JournalError, JournalState, Journaled, StillRefused, WriteState};
use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::database::Database;
use crate::statement::{Purpose, Statement};

use super::applier::{Applier, Refused};
use super::{append, failed, span};

const fn admin(operation: &'static str, collection: &'static str) -> Statement {
    Statement { namespace: "", purpose: Purpose::Admin, operation, collection }
}

const STATE: &str = "
    SELECT (SELECT count(*) FROM larder.journal) AS depth,
           coalesce((SELECT (extract(epoch FROM clock_timestamp() - j.appended_at) * 1000000)::bigint
                     FROM larder.journal j ORDER BY j.position LIMIT 1), 0) AS oldest,
           (SELECT count(*) FROM larder.dead_letters d
            WHERE d.replayed_as IS NULL AND d.discarded_at IS NULL) AS dead";

/// A letter that was replayed is what became of its new entry. A position that is in neither table
/// was applied, if it was ever given.
const FIND: &str = "
    WITH RECURSIVE asked AS (
        SELECT $1::bigint AS position
        UNION
        SELECT d.replayed_as FROM asked a JOIN larder.dead_letters d ON d.position = a.position
        WHERE d.replayed_as IS NOT NULL
    )
    SELECT EXISTS (SELECT FROM larder.journal j JOIN asked a ON a.position = j.position) AS pending,
           EXISTS (SELECT FROM larder.dead_letters d JOIN asked a ON a.position = d.position
                   WHERE d.replayed_as IS NULL) AS dead,
           $1 BETWEEN 1 AND larder.last_position() AS given";

/// The dead letters that nobody has decided about, chosen and ordered as said.
macro_rules! letters {
    ($which:literal) => {
        concat!(
            "SELECT d.position, d.key, d.operation::text AS operation, d.error, d.attempts,
                    (extract(epoch FROM clock_timestamp() - d.appended_at) * 1000000)::bigint AS age
             FROM larder.dead_letters d
             WHERE d.replayed_as IS NULL AND d.discarded_at IS NULL ",
            $which
        )
    };
}

const LIST: &str = letters!("ORDER BY d.position LIMIT $1");

const ONE: &str = letters!("AND d.position = $1");

const OPEN: &str = "
    SELECT d.key, d.operation::text AS operation FROM larder.dead_letters d
    WHERE d.position = $1 AND d.replayed_as IS NULL AND d.discarded_at IS NULL
    FOR NO KEY UPDATE";

const REPLAYED: &str = "UPDATE larder.dead_letters SET replayed_as = $2 WHERE position = $1";

const DISCARD: &str = "
    UPDATE larder.dead_letters SET discarded_at = clock_timestamp()
    WHERE position = $1 AND replayed_as IS NULL AND discarded_at IS NULL";

pub(super) async fn state(db: &Database) -> Result<JournalState, sqlx::Error> {
    let row = sqlx::query(STATE).fetch_one(db.counted(admin("SELECT", "larder.journal"))).await?;
    Ok(JournalState {
        depth: row.try_get::<i64, _>("depth")?.unsigned_abs(),
        oldest: span(row.try_get("oldest")?),
        dead: row.try_get::<i64, _>("dead")?.unsigned_abs(),
    })
}

pub(super) async fn find(db: &Database, position: u64) -> Result<Option<WriteState>, sqlx::Error> {
    let Ok(position) = i64::try_from(position) else { return Ok(None) };
    let row = sqlx::query(FIND)
        .bind(position)
        .fetch_one(db.counted(admin("SELECT", "larder.journal")))
        .await?;
    Ok(if row.try_get("pending")? {
        Some(WriteState::Pending)
    } else if row.try_get("dead")? {
        Some(WriteState::Dead)
    } else {
        row.try_get::<bool, _>("given")?.then_some(WriteState::Flushed)
    })
}

pub(super) async fn list(db: &Database, most: usize) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query(LIST)
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(db.counted(admin("SELECT", "larder.dead_letters")))
        .await?;
    rows.iter().map(letter).collect()
}

pub(super) async fn one(db: &Database, position: u64) -> Result<Option<DeadLetter>, sqlx::Error> {
    let Ok(position) = i64::try_from(position) else { return Ok(None) };
    let row = sqlx::query(ONE)
        .bind(position)
        .fetch_optional(db.counted(admin("SELECT", "larder.dead_letters")))
        .await?;
    row.as_ref().map(letter).transpose()
}

fn letter(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    Ok(DeadLetter {
        position: row.try_get::<i64, _>("position")?.unsigned_abs(),
        key: row.try_get("key")?,
        operation: row.try_get("operation")?,
        error: row.try_get("error")?,
        attempts: row.try_get::<i32, _>("attempts")?.unsigned_abs(),
        age: span(row.try_get("age")?),
    })
}

/// Appends a dead letter anew, checks included; refused, it stays a dead letter.
pub(super) async fn replay<A: Applier>(
    db: &Database,
    position: u64,
) -> Result<Option<Journaled>, JournalError> {
    let Ok(position) = i64::try_from(position) else { return Ok(None) };
    let mut transaction = db.begin().await.map_err(failed)?;
    let letter = sqlx::query(OPEN)
        .bind(position)
        .fetch_optional(transaction.counted(admin("SELECT", "larder.dead_letters")))
        .await
        .map_err(failed)?;
    let Some(letter) = letter else { return Ok(None) };
    let write =
        (letter.try_get("key").map_err(failed)?, letter.try_get("operation").map_err(failed)?);
    let executor = transaction.counted(admin("SELECT", "larder.journal"));
    let mut answers = append(A::APPEND, executor, &[write], |_, why: &Refused| why.to_string())
        .await
        .map_err(failed)?;
    let journaled = answers.pop().expect("an answer for every write");
    let journaled = journaled.map_err(|why| JournalError(StillRefused(why).into()))?;
    let new = i64::try_from(journaled.position).expect("a position of the sequence");
    sqlx::query(REPLAYED)
        .bind(position)
        .bind(new)
        .execute(transaction.counted(admin("UPDATE", "larder.dead_letters")))
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Some(journaled))
}

pub(super) async fn discard(db: &Database, position: u64) -> Result<bool, sqlx::Error> {
    let Ok(position) = i64::try_from(position) else { return Ok(false) };
    let done = sqlx::query(DISCARD)
        .bind(position)
        .execute(db.counted(admin("UPDATE", "larder.dead_letters")))
        .await?;
    Ok(done.rows_affected() > 0)
}
