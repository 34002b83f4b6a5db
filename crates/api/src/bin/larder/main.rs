//! `larder`: what an operator asks of a running service, over its admin API.

mod client;
mod commands;
mod http;
mod load;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::client::{Client, Failure};
use self::commands::Command;
use self::load::LoadArgs;

/// What an operator asks of a running service.
///
/// Address and key are those of the environment: `set -a; . .stack/env; larder stats` asks the
/// stack that `make up` started.
#[derive(Parser)]
#[command(name = "larder", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    #[command(flatten)]
    Ask(Command),
    /// A gentle load of product pages, and a line a second of what it costs the database
    Load(LoadArgs),
}

#[derive(Args)]
struct Common {
    /// Where the service listens; of several, separated by commas, the first (load: all in turn)
    #[arg(long, global = true, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// An API key: of the scope read to look, else admin
    #[arg(long, global = true, env = "ADMIN_KEY", hide_env_values = true, default_value = "")]
    api_key: String,
    /// Certificates (PEM) of authorities to trust beside the system's, where the service listens by TLS
    #[arg(long, global = true, env = "API_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the service's own JSON
    #[arg(long, global = true)]
    json: bool,
}

fn main() -> ExitCode {
    let Cli { common, task } = Cli::parse();
    match run(&common, &task) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("larder: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(common: &Common, task: &Task) -> Result<String, Failure> {
    let command = match task {
        Task::Ask(command) => command,
        Task::Load(args) => {
            load::run(&common.api, &common.api_key, common.ca.as_deref(), args)?;
            return Ok(String::new());
        }
    };
    let client = Client::new(&common.api, &common.api_key, common.ca.as_deref())?;
    let (answer, text) = command.ask(&client)?;
    Ok(if common.json { format!("{answer}\n") } else { text(&answer) })
}
