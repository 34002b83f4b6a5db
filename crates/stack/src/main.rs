//! `larder-stack`: a local Postgres and Redis Cluster from the command line.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use larder_stack::{Resharded, Service, Stack, StackOptions, Topology, env_file, exec, reshard};

/// Starts, stops and breaks a local Postgres and Redis Cluster.
#[derive(Parser)]
#[command(name = "larder-stack", version, about)]
struct Cli {
    /// Where the stack keeps its state.
    #[arg(long, env = "STACK_DIR", default_value = ".stack", global = true)]
    state_dir: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start what does not run, and wait until all of it serves.
    Up {
        /// standalone, 1x2, 3x0 or 3x1 (primaries x replicas) [default: as it was, else 3x1].
        #[arg(long, env = "TOPOLOGY")]
        topology: Option<Topology>,
        #[arg(long, env = "LARDER_STACK_POSTGRES_PORT", default_value_t = 15_432)]
        postgres_port: u16,
        /// The first node's port; the others follow.
        #[arg(long, env = "LARDER_STACK_REDIS_PORT", default_value_t = 7_000)]
        redis_port: u16,
        /// 1, or 2 with a Redis Cluster each and one Postgres.
        #[arg(long, env = "LARDER_STACK_REGIONS", default_value_t = 1,
              value_parser = clap::value_parser!(u8).range(1..=2))]
        regions: u8,
        /// The first node's port in the second region [default: 100 above the first region's].
        #[arg(long, env = "LARDER_STACK_REDIS2_PORT")]
        redis2_port: Option<u16>,
    },
    /// Stop services and servers.
    Down {
        /// Delete what they kept, the database too.
        #[arg(long)]
        clean: bool,
    },
    /// What runs, and where its log is.
    Status {
        #[arg(long)]
        json: bool,
    },
    /// The last lines of the logs.
    Logs {
        /// Of this server or service only.
        name: Option<String>,
        #[arg(long, default_value_t = 20)]
        lines: usize,
    },
    /// Print or change the file of settings for people and scripts.
    Env {
        #[command(subcommand)]
        change: Option<EnvChange>,
    },
    /// Keep a program running beside the servers.
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Move slots, with what is in them, from the primary that has the most to the one that has the
    /// fewest, while all goes on.
    Reshard {
        #[arg(long, default_value_t = 2_000)]
        slots: usize,
        /// Of another cluster than this stack's first, comma-separated.
        #[arg(long, value_delimiter = ',')]
        nodes: Vec<String>,
    },
    /// Run a command with throw-away servers, which end with it.
    Exec {
        #[arg(long, default_value = "3x1")]
        topology: Topology,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

#[derive(Subcommand)]
enum EnvChange {
    /// Set a key.
    Set { key: String, value: String },
}

#[derive(Subcommand)]
enum ServiceCommand {
    /// Start it, unless it runs from the same program and settings.
    Start {
        name: String,
        /// The http:// URL that answers 200 when it is ready, or the tcp:// one that takes connections.
        #[arg(long)]
        ready: String,
        /// The variable that moves its port, to be named where somebody else has that.
        #[arg(long, value_name = "VARIABLE")]
        moved_by: String,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Stop it.
    Stop { name: String },
}

// One thread: servers of `exec` end with the thread that started them.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("larder-stack: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode> {
    let state = cli.state_dir;
    match cli.command {
        Command::Up { topology, postgres_port, redis_port, regions, redis2_port } => {
            let mut options = StackOptions::new(&state);
            let before = Stack::open(&state).map(|stack| stack.topology());
            let topology = topology.or(before).unwrap_or_default();
            options.topology = topology;
            options.postgres_port = postgres_port;
            options.redis_base_port = redis_port;
            if regions == 2 {
                options = options.with_second_region(redis2_port);
            }
            let info = Stack::new(options).up().await?;
            println!("Postgres       127.0.0.1:{postgres_port}");
            for nodes in info.redis_nodes {
                println!("Redis Cluster  {} ({topology})", nodes.join(" "));
            }
        }
        Command::Down { clean } => match Stack::open(&state) {
            Some(stack) => {
                stack.down(clean)?;
                println!("Stopped{}.", if clean { ", data deleted" } else { "; data kept" });
            }
            None => println!("Nothing to stop."),
        },
        Command::Status { json } => status(&state, json).await?,
        Command::Logs { name, lines } => {
            for server in open(&state)?.status() {
                if name.as_ref().is_none_or(|name| *name == server.name) {
                    println!("== {} ({})", server.name, server.log.display());
                    let text = std::fs::read_to_string(&server.log).unwrap_or_default();
                    let all: Vec<&str> = text.lines().collect();
                    println!("{}", all[all.len().saturating_sub(lines)..].join("\n"));
                }
            }
        }
        Command::Env { change: None } => {
            for (key, value) in env_file::read(&state.join("env"))? {
                println!("{key}={value}");
            }
        }
        Command::Env { change: Some(EnvChange::Set { key, value }) } => {
            env_file::set(&state.join("env"), &key, &value)?;
        }
        Command::Service(ServiceCommand::Start { name, ready, moved_by, command }) => {
            let outcome = Service::new(&state, &name).start(&command, &ready, &moved_by)?;
            println!("{name:14} {outcome}");
        }
        Command::Service(ServiceCommand::Stop { name }) => {
            Service::new(&state, &name).stop(Duration::from_secs(30));
        }
        Command::Reshard { slots, nodes } => {
            let nodes = if nodes.is_empty() { nodes_of(&state)? } else { nodes };
            let moved = reshard(&nodes, slots).await?;
            let Resharded { slots, keys, from, to } = moved;
            println!("Moved {slots} slots with {keys} keys from {from} to {to}.");
        }
        Command::Exec { topology, command } => return Ok(exec::exec(topology, &command).await?),
    }
    Ok(ExitCode::SUCCESS)
}

/// The Redis nodes of the stack that runs, whatever brought it up.
fn nodes_of(state: &std::path::Path) -> Result<Vec<String>> {
    let env = state.join("env");
    let settings = if env.exists() { env_file::read(&env)? } else { Vec::new() };
    match settings.into_iter().find(|(key, _)| key == "REDIS_NODES") {
        Some((_, nodes)) => Ok(nodes.split(',').map(str::to_owned).collect()),
        None => bail!("no stack runs in {}: make up", state.display()),
    }
}

fn open(state: &std::path::Path) -> Result<Stack> {
    match Stack::open(state) {
        Some(stack) => Ok(stack),
        None => bail!("no stack in {}: make up", state.display()),
    }
}

/// How long ago that second of Unix time was, in its two largest units.
fn since(second: u64) -> String {
    let lasted = (UNIX_EPOCH + Duration::from_secs(second)).elapsed().unwrap_or_default().as_secs();
    let (minutes, hours, days) = (lasted / 60, lasted / 3_600, lasted / 86_400);
    match lasted {
        0..60 => format!("{lasted} s"),
        60..3_600 => format!("{minutes} min {} s", lasted % 60),
        3_600..86_400 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

async fn status(state: &std::path::Path, json: bool) -> Result<()> {
    let stack = open(state)?;
    let servers = stack.status();
    if json {
        println!("{}", serde_json::to_string_pretty(&servers)?);
        return Ok(());
    }
    for server in servers {
        let state = server.pid.map_or("stopped".to_owned(), |pid| format!("pid {pid}"));
        let lasted = server.started_at.map_or_else(String::new, |at| format!("for {}", since(at)));
        println!("{:14} {state:12} {lasted:14} {}", server.name, server.log.display());
    }
    let serving = if stack.is_serving().await { "yes" } else { "no" };
    println!("serving: {serving} (Postgres up, all slots covered, replicas linked)");
    Ok(())
}
