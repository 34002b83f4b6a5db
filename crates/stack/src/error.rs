//! What can go wrong with a stack.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::topology::Topology;

/// Why a stack could not do what it was asked to.
#[derive(Debug, Error)]
pub enum StackError {
    /// A server's program is not installed.
    #[error(
        "{program} was not found (looked in {looked}). Install it with `make deps`, \
         or by hand: {install}"
    )]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// Where.
        looked: String,
        /// How to install it.
        install: &'static str,
    },
    /// A port is in use by something else.
    #[error("port {port} ({purpose}) is taken by another process; choose another with {variable}")]
    PortTaken {
        /// The port.
        port: u16,
        /// What was to listen there.
        purpose: String,
        /// The environment variable that moves it.
        variable: String,
    },
    /// A server ended, or did not become ready in time.
    #[error("{server} did not start: {reason}\n{log}")]
    NotReady {
        /// The server's name.
        server: String,
        /// What was waited for.
        reason: String,
        /// The end of its log.
        log: String,
    },
    /// A topology's name that is none.
    #[error("TOPOLOGY must be standalone, 1x2, 3x0 or 3x1, not {0:?}")]
    Topology(String),
    /// Slots that cannot be moved.
    #[error("{slots} slots cannot be moved: {reason}")]
    Reshard {
        /// How many were to be.
        slots: usize,
        /// Why not.
        reason: String,
    },
    /// A stack that runs in another topology.
    #[error(
        "the stack in {} runs as {has}, not as {wanted}: make down first, or say TOPOLOGY={has}",
        state.display()
    )]
    OtherTopology {
        /// Its folder.
        state: PathBuf,
        /// What it runs as.
        has: Topology,
        /// What was asked for.
        wanted: Topology,
    },
    /// A file of the state directory cannot be used.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// A program could not be run.
    #[error("cannot run {program}: {reason}")]
    Run {
        /// The program.
        program: String,
        /// What happened.
        reason: String,
    },
    /// Postgres answered with an error.
    #[error("postgres: {0}")]
    Postgres(#[from] sqlx::Error),
    /// Redis answered with an error.
    #[error("redis: {0}")]
    Redis(#[from] redis::RedisError),
}

impl StackError {
    pub(crate) fn file(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }

    pub(crate) fn run(program: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let program = program.into();
        move |source| Self::Run { program, reason: source.to_string() }
    }
}
