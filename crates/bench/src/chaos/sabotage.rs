//! Faults of the journal, made on purpose, to see that they are found.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::sleep;

use super::fleet::Fleet;

/// The last delta that waits in the journal and adds: what takes off would be refused a second time.
const WAITING: &str = "
    SELECT j.position FROM larder.journal j WHERE j.operation -> 'add' <> '{}'
    AND NOT EXISTS (SELECT FROM jsonb_each_text(j.operation -> 'add') e WHERE e.value::bigint < 0)
    ORDER BY j.position DESC LIMIT 1";
/// How often a waiting delta is looked for.
const TRIES: u32 = 1_000;

/// `lose`: an acknowledged delta is taken off the journal. `twice`: it is there a second time.
pub(super) async fn sabotage(fleet: &Fleet<'_>, name: &str) -> Result<()> {
    let sql = match name {
        "lose" => format!("DELETE FROM larder.journal WHERE position = ({WAITING})"),
        "twice" => format!(
            "INSERT INTO larder.journal (key, operation, appended_at)
             SELECT key, operation, appended_at FROM larder.journal WHERE position = ({WAITING})"
        ),
        other => bail!("unknown sabotage {other:?}: use lose or twice"),
    };
    for _ in 0..TRIES {
        // Whoever flushed it at the same moment was quicker.
        if fleet.execute(sql.clone()).await? > 0 {
            return Ok(());
        }
        sleep(Duration::from_millis(5)).await;
    }
    bail!("no delta waited in the journal");
}
