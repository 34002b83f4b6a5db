//! What can be asked, and how it is asked.

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use serde_json::{Value, json};

use crate::client::{Client, Failure};
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// What each namespace has looked up, found, loaded and asked the database
    Stats,
    /// What the tiers hold of a key
    Inspect {
        /// `product-page` or `product-summary`
        namespace: String,
        /// The product's id
        key: u64,
    },
    /// Make what is cached old: a key, a tag, or all of a namespace
    Invalidate(Invalidate),
    /// The strategies, and switching them for all processes at once
    #[command(subcommand)]
    Strategy(Strategy),
    /// Which process relays the change feed, and how far behind it is; of all processes in --api
    Relay,
    /// The settings in force, secrets masked
    Config,
    /// API keys
    #[command(subcommand)]
    Keys(Keys),
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
}

#[derive(Args)]
pub(crate) struct Invalidate {
    /// `product-page` or `product-summary`
    namespace: String,
    #[command(flatten)]
    what: What,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct What {
    /// The product's id
    #[arg(long)]
    key: Option<u64>,
    /// A tag that values were given; those of the catalogue have none, which the answer says
    #[arg(long)]
    tag: Option<String>,
    /// Everything in the namespace
    #[arg(long)]
    all: bool,
}

#[derive(Subcommand)]
pub(crate) enum Strategy {
    /// What each namespace runs under, and which processes there are
    Show,
    /// Switch a namespace of all processes; it stays so until it is reset
    Set {
        /// `product-page` or `product-summary`
        namespace: String,
        /// none, cache-aside, read-through, write-through, write-behind, refresh-ahead or ttl
        strategy: String,
        /// none, l1, l2 or l1+l2 [default: none with the strategy none, else l1+l2]
        #[arg(long)]
        tiers: Option<String>,
    },
    /// Go back to what each process is configured for
    Reset {
        /// `product-page` or `product-summary`
        namespace: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Scope {
    /// Look, under /admin
    Read,
    /// Change the catalogue
    Write,
    /// Everything
    Admin,
}

#[derive(Subcommand)]
pub(crate) enum Keys {
    /// All of them, revoked ones too; of none the secret
    List,
    /// Make one, which is shown this once
    Create {
        /// What it allows; each implies those before it
        #[arg(long, value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
        /// What it is for
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Let one open nothing any more
    Revoke {
        /// Its id: what stands between `lk_` and the next `_`
        id: String,
    },
}

#[derive(Subcommand)]
pub(crate) enum DeadLetters {
    /// The oldest of them
    List {
        /// So many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One of them
    Show {
        #[command(flatten)]
        place: Place,
    },
    /// Put one back at the journal's end, once its cause is gone
    Replay {
        #[command(flatten)]
        place: Place,
    },
    /// Throw one away: it will never be applied
    Drop {
        #[command(flatten)]
        place: Place,
    },
}

/// Where a dead letter is.
#[derive(Args)]
pub(crate) struct Place {
    /// Its place in the journal
    position: u64,
    /// Which journal's, where those of two modes have one there
    #[arg(long)]
    mode: Option<String>,
}

impl Place {
    fn path(&self, rest: &str) -> String {
        let mode = self.mode.as_deref().map(|mode| format!("?mode={}", segment(mode)));
        format!("/admin/dead-letters/{}{rest}{}", self.position, mode.unwrap_or_default())
    }
}

/// An answer, and what makes it a text.
type Answer = (Value, fn(&Value) -> String);

impl Command {
    /// Asks the service.
    pub(crate) fn ask(&self, client: &Client) -> Result<Answer, Failure> {
        let get = |path: &str| client.ask(Method::GET, path, None);
        Ok(match self {
            Self::Stats => {
                let (cache, queries) = (get("/admin/cache")?, get("/admin/queries")?);
                (json!({ "cache": cache, "queries": queries }), text::cache::stats)
            }
            Self::Inspect { namespace, key } => {
                let namespace = segment(namespace);
                (get(&format!("/admin/cache/{namespace}/{key}"))?, text::cache::inspection)
            }
            Self::Invalidate(Invalidate { namespace, what }) => {
                let base = format!("/admin/cache/{}", segment(namespace));
                let path = match (what.key, &what.tag) {
                    (Some(key), _) => format!("{base}/{key}"),
                    (None, Some(tag)) => format!("{base}/tags/{}", segment(tag)),
                    (None, None) => base,
                };
                (client.ask(Method::DELETE, &path, None)?, text::cache::invalidated)
            }
            Self::Strategy(strategy) => strategy.ask(client)?,
            Self::Relay => {
                let answers = client.ask_each("/admin/cache")?;
                let processes = answers
                    .into_iter()
                    .map(|(api, answer)| json!({ "api": api, "coherence": answer["coherence"] }));
                (json!({ "processes": processes.collect::<Vec<_>>() }), text::cache::relay)
            }
            Self::Config => (get("/admin/config")?, text::config),
            Self::Keys(keys) => keys.ask(client)?,
            Self::Journal => (get("/admin/journal")?, text::writes::journal),
            Self::Write { position } => (get(&format!("/writes/{position}"))?, text::writes::write),
            Self::DeadLetters(letters) => letters.ask(client)?,
        })
    }
}

impl Strategy {
    fn ask(&self, client: &Client) -> Result<Answer, Failure> {
        Ok(match self {
            Self::Show => {
                (client.ask(Method::GET, "/admin/strategy", None)?, text::strategy::shown)
            }
            Self::Set { namespace, strategy, tiers } => {
                let usual = if strategy == "none" { "none" } else { "l1+l2" };
                let tiers = tiers.as_deref().unwrap_or(usual);
                let body = json!({ "namespace": namespace, "strategy": strategy, "tiers": tiers });
                let answer = client.ask(Method::PUT, "/admin/strategy", Some(&body))?;
                (answer, text::strategy::switched)
            }
            Self::Reset { namespace } => {
                let path = format!("/admin/strategy/{}", segment(namespace));
                (client.ask(Method::DELETE, &path, None)?, text::strategy::switched)
            }
        })
    }
}

impl Keys {
    fn ask(&self, client: &Client) -> Result<Answer, Failure> {
        Ok(match self {
            Self::List => (client.ask(Method::GET, "/admin/keys", None)?, text::keys::listed),
            Self::Create { scopes, note } => {
                let scopes: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
                let body = json!({ "scopes": scopes, "note": note });
                (client.ask(Method::POST, "/admin/keys", Some(&body))?, text::keys::created)
            }
            Self::Revoke { id } => {
                let path = format!("/admin/keys/{}", segment(id));
                (client.ask(Method::DELETE, &path, None)?, text::keys::revoked)
            }
        })
    }
}

impl Scope {
    const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

impl DeadLetters {
    fn ask(&self, client: &Client) -> Result<Answer, Failure> {
        let (method, path, text): (_, _, fn(&Value) -> String) = match self {
            Self::List { limit } => {
                (Method::GET, format!("/admin/dead-letters?limit={limit}"), text::writes::letters)
            }
            Self::Show { place } => (Method::GET, place.path(""), text::writes::letter),
            Self::Replay { place } => (Method::POST, place.path("/replay"), text::writes::replayed),
            Self::Drop { place } => (Method::DELETE, place.path(""), text::writes::dropped),
        };
        Ok((client.ask(method, &path, None)?, text))
    }
}

/// A name as a part of a path.
fn segment(name: &str) -> String {
    name.bytes().fold(String::new(), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push_str(&format!("%{byte:02X}"));
        }
        path
    })
}
