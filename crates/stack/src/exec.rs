//! Runs a command with throw-away servers.

use std::process::ExitCode;

use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::StackError;
use crate::testing::{SHARED_POSTGRES, SHARED_REDIS, start_postgres, start_redis};
use crate::topology::Topology;

/// Starts a Postgres and a Redis Cluster, runs `command` with their addresses in its
/// environment, and ends them with it, however it ends. Returns the command's exit code.
///
/// # Errors
///
/// When a server does not start, or the command cannot be run.
pub async fn exec(topology: Topology, command: &[String]) -> Result<ExitCode, StackError> {
    let (program, arguments) = command.split_first().ok_or_else(|| StackError::Run {
        program: "exec".to_owned(),
        reason: "no command given".to_owned(),
    })?;
    let (postgres, postgres_folder) = start_postgres().await?;
    let (redis, redis_folder) = match start_redis(topology).await {
        Ok(started) => started,
        Err(error) => {
            postgres.kill();
            return Err(error);
        }
    };
    let status = run(Command::new(program)
        .args(arguments)
        .env(SHARED_POSTGRES, postgres.admin_url("postgres"))
        .env(SHARED_REDIS, redis.urls().join(",")))
    .await;
    redis.stop();
    postgres.kill();
    drop((postgres_folder, redis_folder));
    status.map_err(StackError::run(program.clone()))
}

/// Waits for the command; on an interrupt or termination, passes it on and waits still.
async fn run(command: &mut Command) -> std::io::Result<ExitCode> {
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            // The terminal has interrupted the child as well.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => child.start_kill()?,
        }
    };
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
