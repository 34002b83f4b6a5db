//! `larder`: what an operator asks of a running service, over its admin API.

mod client;
mod load;
mod text;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use reqwest::Method;
use serde_json::Value;

use self::client::{Client, Failure};
use self::load::LoadArgs;

/// What an operator asks of a running service.
///
/// Address and key are those of the environment: `set -a; . .stack/env; larder journal` asks the
/// stack that `make up` started.
#[derive(Parser)]
#[command(name = "larder", version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Args)]
struct Common {
    /// Where the service listens; of several, separated by commas, the first (load: all in turn)
    #[arg(long, global = true, env = "API_URL", default_value = "http://127.0.0.1:8080")]
    api: String,
    /// The admin key
    #[arg(long, global = true, env = "ADMIN_KEY", hide_env_values = true, default_value = "")]
    key: String,
    /// Print the service's own JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// What waits in the journal of write-behind, and what the service did about it
    Journal,
    /// What became of a write that was answered 202
    Write {
        /// What `Larder-Position` said
        position: u64,
    },
    /// Writes that could not be applied
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// A gentle load of product pages, and a line a second of what it costs the database
    Load(LoadArgs),
}

#[derive(Subcommand)]
enum DeadLetters {
    /// The oldest of them
    List {
        /// So many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One of them
    Show {
        /// Its place in the journal
        position: u64,
    },
    /// Put one back at the journal's end, once its cause is gone
    Replay {
        /// Its place in the journal
        position: u64,
    },
    /// Throw one away: it will never be applied
    Drop {
        /// Its place in the journal
        position: u64,
    },
}

fn main() -> ExitCode {
    let Cli { common, command } = Cli::parse();
    match run(&common, &command) {
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

fn run(common: &Common, command: &Command) -> Result<String, Failure> {
    let client = Client::new(&common.api, &common.key)?;
    let (method, path, text): (Method, String, fn(&Value) -> String) = match command {
        Command::Journal => (Method::GET, "/admin/journal".to_owned(), text::journal),
        Command::Write { position } => (Method::GET, format!("/writes/{position}"), text::write),
        Command::DeadLetters(letters) => match letters {
            DeadLetters::List { limit } => {
                (Method::GET, format!("/admin/dead-letters?limit={limit}"), text::letters)
            }
            DeadLetters::Show { position } => {
                (Method::GET, format!("/admin/dead-letters/{position}"), text::letter)
            }
            DeadLetters::Replay { position } => {
                (Method::POST, format!("/admin/dead-letters/{position}/replay"), text::replayed)
            }
            DeadLetters::Drop { position } => {
                (Method::DELETE, format!("/admin/dead-letters/{position}"), text::dropped)
            }
        },
        Command::Load(args) => {
            load::run(&common.api, &common.key, args)?;
            return Ok(String::new());
        }
    };
    let answer = client.ask(method, &path)?;
    Ok(if common.json { format!("{answer}\n") } else { text(&answer) })
}
