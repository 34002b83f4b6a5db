//! `catalog-api`: the product catalogue over HTTP.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use catalog_api::config::{self, Config, ConfigError};
use catalog_api::{KeyError, ServeError, make_key, start};
use catalog_repository::seed::{self, Progress, SeedOptions, online_retail::OnlineRetail};
use catalog_repository::{migrate, pending_migrations};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use larder_telemetry::Telemetry;

/// Several worker threads allocate at once; this allocator minds less than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The variable that names a promise to break: for the verifier's own tests.
const SABOTAGE: &str = "LARDER_SABOTAGE";
/// The variable that names a place to crash at: for tests of what must survive it.
const CRASH_AT: &str = "LARDER_CRASH_AT";

/// How long a stop waits for the receiver of telemetry.
const EXPORT_PATIENCE: Duration = Duration::from_secs(5);

/// Exit codes of sysexits.h.
const EX_USAGE: u8 = 64;
const EX_UNAVAILABLE: u8 = 69;

/// The product catalogue over HTTP.
#[derive(Parser)]
#[command(name = "catalog-api", version, about)]
struct Cli {
    /// The configuration [default: larder.toml, if it is there]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until stopped.
    Serve {
        /// Write the address that is listened on into this file.
        #[arg(long)]
        announce: Option<PathBuf>,
    },
    /// Bring the database's schema up to date.
    Migrate {
        /// Only tell how many migrations are missing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Fill an empty catalogue with generated products.
    Seed {
        #[arg(long, default_value_t = SeedOptions::default().products)]
        products: u32,
        #[arg(long, default_value_t = SeedOptions::default().reviews)]
        reviews: u32,
        /// Of the Zipf law that spreads the reviews over the products.
        #[arg(long, default_value_t = SeedOptions::default().exponent)]
        exponent: f64,
        #[arg(long, default_value_t = SeedOptions::default().seed)]
        seed: u64,
        /// Do nothing if there are products already.
        #[arg(long)]
        if_empty: bool,
    },
    /// Fill an empty catalogue with the products of the Online Retail data set.
    ImportOnlineRetail {
        /// Where products.csv and order-lines.csv(.xz) are.
        folder: PathBuf,
    },
    /// Make an API key as the administrator of the database, and print it: the first one, where
    /// nobody has one yet (`larder keys` makes the others).
    CreateKey {
        /// What it allows: read, write or admin, separated by commas; each implies those before it
        #[arg(long, value_delimiter = ',', default_value = "admin")]
        scopes: Vec<String>,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Check the configuration and print it, secrets masked.
    Config,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("catalog-api: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn exit_code(error: &anyhow::Error) -> u8 {
    let usage = error.is::<ConfigError>()
        || matches!(error.downcast_ref(), Some(ServeError::Config(_)))
        || matches!(error.downcast_ref(), Some(KeyError::Field { .. }));
    if usage { EX_USAGE } else { EX_UNAVAILABLE }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let file = cli.config.as_deref().unwrap_or(Path::new("larder.toml"));
    let mut config = config::load(file, cli.config.is_some(), std::env::vars())?;
    if let Ok(name) = std::env::var(SABOTAGE) {
        let unknown = |()| ConfigError::value(SABOTAGE, "is none of the known");
        config.feed.sabotage = name.parse().map_err(unknown)?;
    }
    if let Ok(place) = std::env::var(CRASH_AT) {
        let unknown = |()| ConfigError::value(CRASH_AT, "is none of the known");
        config.write_behind.crash = place.parse().map_err(unknown)?;
    }
    let admin_url = config.database.admin_url.clone();
    match cli.command {
        Command::Serve { announce } => serve(config, announce).await?,
        Command::Migrate { dry_run: true } => {
            println!("{} migrations missing", pending_migrations(&admin_url).await?);
        }
        Command::Migrate { dry_run: false } => {
            migrate(&admin_url).await?;
            println!("Schema         up to date");
        }
        Command::Seed { products, reviews, exponent, seed, if_empty } => {
            if if_empty && !seed::is_empty(&admin_url).await? {
                println!("Catalogue      filled already");
                return Ok(());
            }
            let options = SeedOptions { products, reviews, exponent, seed };
            seed::generate(&admin_url, &options, bar()).await?;
            println!("Catalogue      {products} products, {reviews} reviews");
        }
        Command::ImportOnlineRetail { folder } => {
            let shop = OnlineRetail::open(&folder)?;
            seed::import(&admin_url, &shop, bar()).await?;
            println!("Catalogue      {} products", shop.products().len());
        }
        Command::CreateKey { scopes, note } => {
            println!("{}", make_key(&admin_url, &scopes, &note).await?);
        }
        Command::Config => print!("{}", toml::to_string(&config.masked())?),
    }
    Ok(())
}

async fn serve(config: Config, announce: Option<PathBuf>) -> anyhow::Result<()> {
    let telemetry = Telemetry::init(&config.telemetry_options()?)?;
    let server = start(config, &telemetry).await?;
    let address = server.address();
    println!("Listening on {}", server.url());
    if let Some(file) = announce {
        // Written beside and moved: a reader never sees half of it.
        let draft = file.with_extension("draft");
        std::fs::write(&draft, address.to_string())
            .and_then(|()| std::fs::rename(&draft, &file))
            .with_context(|| format!("--announce {}", file.display()))?;
    }
    server.wait().await?;
    exported(telemetry).await;
    Ok(())
}

/// Exports what is left, unless the receiver is too slow: then it is lost.
async fn exported(telemetry: Telemetry) {
    let runtime = tokio::runtime::Handle::current();
    let (done, ended) = tokio::sync::oneshot::channel();
    // No thread of the runtime's, which would be waited for: this one ends with the process.
    std::thread::spawn(move || {
        let _guard = runtime.enter();
        telemetry.shutdown();
        // Nobody waits any more: it took too long.
        let _ = done.send(());
    });
    if tokio::time::timeout(EXPORT_PATIENCE, ended).await.is_err() {
        tracing::warn!("the receiver of telemetry does not answer: stopping without it");
    }
}

/// A progress bar on a terminal; elsewhere a line for each table.
fn bar() -> impl FnMut(Progress) + Send {
    let terminal = std::io::stderr().is_terminal();
    let style = ProgressStyle::with_template("{msg:>17} {wide_bar} {percent:>3} % {eta:>4}");
    let bar = ProgressBar::new(0).with_style(style.expect("the template is valid"));
    let mut table = "";
    move |progress| {
        if !terminal && table != progress.table {
            eprintln!("  filling {} …", progress.table);
        }
        table = progress.table;
        bar.set_length(progress.total);
        bar.set_message(progress.table);
        bar.set_position(progress.rows);
        if progress.rows == progress.total {
            bar.finish_and_clear();
        }
    }
}
