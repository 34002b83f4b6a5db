//! What is broken while the load goes on.

use std::fmt;

use larder::CrashPoint;

/// What to break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// API processes, by `kill -9` at random moments.
    Kill,
    /// An API process that ends itself, without any care, at each named place.
    Crash,
    /// A Redis primary, by `kill -9`; a replica takes over.
    Redis,
    /// Postgres: stopped and started, and ended as by a crash.
    Postgres,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of an API process at a random moment.
    Kill,
    /// An API process aborts at a named place.
    Crash(CrashPoint),
    /// `kill -9` of a Redis primary.
    RedisPrimary,
    /// Postgres is stopped (clients are cut off, all is written to disk) and started.
    PostgresRestart,
    /// Postgres is ended at once, and recovers from its log when it is started.
    PostgresCrash,
}

impl Group {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Kill, Self::Crash, Self::Redis, Self::Postgres];

    /// The kinds in it, each with its rounds: `rounds` for processes and for all places together at
    /// least, `servers` for each fault of a server.
    #[must_use]
    pub fn faults(self, rounds: u32, servers: u32) -> Vec<(Fault, u32)> {
        match self {
            Self::Kill => vec![(Fault::Kill, rounds)],
            Self::Crash => {
                let places = CrashPoint::ALL;
                let each = rounds.div_ceil(places.len() as u32);
                places.into_iter().map(|place| (Fault::Crash(place), each)).collect()
            }
            Self::Redis => vec![(Fault::RedisPrimary, servers)],
            Self::Postgres => {
                vec![(Fault::PostgresRestart, servers), (Fault::PostgresCrash, servers)]
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "API process, kill -9",
            Self::Crash(place) => place.as_str(),
            Self::RedisPrimary => "Redis primary, kill -9",
            Self::PostgresRestart => "Postgres, restart",
            Self::PostgresCrash => "Postgres, crash",
        })
    }
}
