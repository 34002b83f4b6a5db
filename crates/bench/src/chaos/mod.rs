//! Whether write-behind loses nothing: a load of writes on several API processes, faults in the
//! middle of it, and the clients' own records compared with Postgres.
//!
//! `record` says what a client knows, `sender`, `crew` and `load` write and read, `fleet`, `fault`
//! and `rounds` break, `settle` asks Postgres, `check` finds what is wrong, `outcome` and `text` tell
//! it.

pub mod check;
mod crew;
pub mod fault;
mod fleet;
mod load;
pub mod outcome;
pub mod record;
mod rounds;
mod sabotage;
mod sender;
mod settle;
mod text;

use anyhow::Result;

pub use self::fault::{Fault, Group};
pub use self::outcome::{Chaos, Rounds, write};
pub use self::text::text;
use crate::bed::Bed;
use crate::measure::machine;

use self::fleet::Fleet;

/// The mode that promises that nothing is lost.
const JOURNALED: &str = "journaled";

/// What to break, and under which load.
#[derive(Clone, Debug, clap::Args)]
pub struct ChaosArgs {
    /// What to break: kill, crash, redis, postgres, separated by commas [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<Group>,
    /// Rounds of `kill -9`, and at least as many at named places.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Rounds of each fault of a server.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub server_rounds: u32,
    /// API processes that share one database and one cache.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub processes: u8,
    /// What an acknowledged write rests on: journaled promises all zeros; of another mode the
    /// figures are told, and are no failure.
    #[arg(long, default_value = JOURNALED)]
    pub mode: String,
    /// Products that are written at the same time, each by sixteen clients.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub keys: u16,
    /// Products of the generated catalogue: a product is written until something is unknown.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(50..))]
    pub products: u32,
    /// How old an entry becomes before a flush begins.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub flush_after_ms: u32,
    /// Where all that is random begins.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// A fault to build into the journal, to see that it is found: lose or twice.
    #[arg(long, hide = true)]
    pub sabotage: Option<String>,
}

impl ChaosArgs {
    /// Whether the mode promises that nothing is lost.
    #[must_use]
    pub fn is_journaled(&self) -> bool {
        self.mode == JOURNALED
    }

    fn groups(&self) -> &[Group] {
        if self.faults.is_empty() { &Group::ALL } else { &self.faults }
    }
}

/// Runs what `args` ask for. `command` is the command line.
///
/// # Errors
///
/// When a server or a process does not start, or nothing is written any more after a fault.
pub async fn chaos(bed: &Bed, args: &ChaosArgs, command: String) -> Result<Chaos> {
    let started_at = jiff::Timestamp::now();
    for group in args.groups() {
        // Somebody else's servers are refused before anything is broken.
        match group {
            Group::Redis => drop(bed.redis()?),
            Group::Postgres => drop(bed.postgres()?),
            Group::Kill | Group::Crash => {}
        }
    }
    let machine = machine(bed).await?;
    let mut fleet = Fleet::start(bed, args).await?;
    let mut faults = Vec::new();
    for group in args.groups() {
        for (fault, rounds) in group.faults(args.rounds, args.server_rounds) {
            faults.push(rounds::rounds(&mut fleet, fault, rounds, args).await?);
        }
    }
    let is_as_promised: fn(&Rounds) -> bool =
        if args.is_journaled() { Rounds::is_clean } else { Rounds::has_happened };
    let holds = faults.iter().all(is_as_promised);
    let (mode, processes) = (args.mode.clone(), args.processes);
    Ok(Chaos { command, started_at, machine, mode, processes, holds, faults })
}
