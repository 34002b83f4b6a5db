//! `larder load`: a gentle load, so that there is something to see on the dashboard.
//!
//! It is no measurement: that is `larder-bench`. Requests are sent evenly, and not many at once; what could
//! not be sent in its time is left out.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use hyper::{Method, StatusCode};
use rand::distr::Distribution;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::client::{self, Failure};
use crate::http::Http;

/// Requests under way at most. When so many are not answered yet, none is sent.
const AT_ONCE: usize = 64;
/// Where nothing is answered for so many seconds, the load ends.
const SILENT_SECONDS: u64 = 10;
const PATIENCE: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);
/// Prices that writes set, in cents.
const PRICES: std::ops::Range<u32> = 500..20_000;

#[derive(Args)]
pub(crate) struct LoadArgs {
    /// Requests a second
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rate: u32,
    /// Seconds until it ends by itself
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// Products that are asked for: those with the ids 1 to this, the first the most popular
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    products: u32,
    /// Exponent of the Zipf law of their popularity; 0: all alike
    #[arg(long, default_value_t = 1.0, value_parser = exponent)]
    exponent: f64,
    /// Of a thousand requests, those that change a price
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    writes: u32,
}

/// What the requests under way share.
struct Shared {
    http: Http,
    answered: AtomicU64,
    errors: Mutex<Errors>,
}

/// What went wrong, and how often: by status; 0 where there was no answer.
#[derive(Clone, Default)]
struct Errors(BTreeMap<u16, u64>);

/// One request.
enum Step {
    Read(String),
    Write(String, u32),
}

/// Counts at one moment.
struct Moment {
    at: Instant,
    answered: u64,
    /// Database queries of all processes; `None` where one did not tell.
    queries: Option<f64>,
}

fn exponent(text: &str) -> Result<f64, String> {
    let value = text.parse::<f64>().ok().filter(|value| (0.0..=5.0).contains(value));
    value.ok_or_else(|| "must be from 0 to 5".to_owned())
}

/// Sends the load to all addresses in `api` in turn, until it ends or is interrupted.
pub(crate) fn run(api: &str, key: &str, ca: Option<&Path>, args: &LoadArgs) -> Result<(), Failure> {
    let bases: Vec<String> = api.split(',').map(client::base).collect::<Result<_, _>>()?;
    let http = Http::new(key, ca, PATIENCE)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Refused(error.to_string()))?;
    let shared = Arc::new(Shared { http, answered: AtomicU64::new(0), errors: Mutex::default() });
    runtime.block_on(load(&shared, &bases, args))
}

async fn load(shared: &Arc<Shared>, bases: &[String], args: &LoadArgs) -> Result<(), Failure> {
    let begin = Moment::now(shared, bases).await?;
    println!(
        "{} requests a second for {} products, for {} s (Ctrl-C ends it). Look at {}/",
        args.rate, args.products, args.seconds, bases[0]
    );
    let sender = tokio::spawn(send(Arc::clone(shared), bases.to_vec(), args.plan()));
    let watched = tokio::select! {
        watched = watch(shared, bases, &begin, args) => watched,
        () = interrupted() => Ok(()),
    };
    sender.abort();
    watched?;
    let end = Moment::now(shared, bases).await?;
    println!("{}", end.summary(&begin, &shared.errors()));
    Ok(())
}

/// A line a second, until the time is over or nobody answers.
async fn watch(
    shared: &Shared,
    bases: &[String],
    begin: &Moment,
    args: &LoadArgs,
) -> Result<(), Failure> {
    let mut before = Moment { ..*begin };
    let mut silent = 0;
    let mut told = false;
    for second in 1..=args.seconds {
        sleep_until(begin.at + second * SECOND).await;
        let now = match Moment::now(shared, bases).await {
            Ok(now) => now,
            Err(_silent) => Moment {
                at: Instant::now(),
                answered: shared.answered.load(Ordering::Relaxed),
                queries: None,
            },
        };
        println!("{:>4} s  {}", second, now.line(&before, &shared.errors()));
        if !told && shared.errors().forbidden() {
            eprintln!("Writes are refused: they need a key (ADMIN_KEY, as in .stack/env).");
            told = true;
        }
        silent = if now.answered == before.answered { silent + 1 } else { 0 };
        if silent == SILENT_SECONDS {
            let why = format!("nothing for {SILENT_SECONDS} s");
            return Err(Failure::Silent(bases.join(","), why));
        }
        before = now;
    }
    Ok(())
}

/// Sends a step when it is due, to one process after the other.
async fn send(shared: Arc<Shared>, bases: Vec<String>, mut plan: Plan) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut due = interval(SECOND / plan.rate);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for base in bases.iter().cycle() {
        due.tick().await;
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let (shared, step) = (Arc::clone(&shared), plan.step(base));
        tokio::spawn(async move {
            shared.take(step).await;
            drop(turn);
        });
    }
}

/// What is asked for next.
struct Plan {
    rate: u32,
    writes: u32,
    law: Zipf<f64>,
    random: rand::rngs::StdRng,
}

impl LoadArgs {
    fn plan(&self) -> Plan {
        let law = Zipf::new(f64::from(self.products), self.exponent);
        Plan {
            rate: self.rate,
            writes: self.writes,
            law: law.expect("the arguments' bounds are the law's"),
            random: rand::rngs::StdRng::seed_from_u64(1),
        }
    }
}

impl Plan {
    fn step(&mut self, base: &str) -> Step {
        let url = format!("{base}/products/{}", self.law.sample(&mut self.random) as u32);
        if self.random.random_ratio(self.writes, 1_000) {
            return Step::Write(url, self.random.random_range(PRICES));
        }
        Step::Read(url)
    }
}

impl Shared {
    /// Sends `step` and reads the whole answer.
    async fn take(&self, step: Step) {
        let answer = match step {
            Step::Read(url) => self.http.send(Method::GET, &url, None).await,
            Step::Write(url, minor) => {
                let patch = json!({ "price": { "minor": minor, "currency": "EUR" } });
                self.http.send(Method::PATCH, &url, Some(&patch)).await
            }
        };
        let status = answer.ok().map(|(status, _body)| status);
        self.answered.fetch_add(u64::from(status.is_some()), Ordering::Relaxed);
        // A catalogue of another size has not all of the products.
        if status.is_none_or(|status| !status.is_success() && status != StatusCode::NOT_FOUND) {
            let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
            *errors.0.entry(status.map_or(0, |status| status.as_u16())).or_default() += 1;
        }
    }

    fn errors(&self) -> Errors {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Database queries that the process at `base` has counted, those of its relay apart.
    async fn queries(&self, base: &str) -> Result<f64, Failure> {
        let answer = self.http.send(Method::GET, &format!("{base}/metrics"), None).await;
        let (_status, text) = answer.map_err(|why| Failure::Silent(base.to_owned(), why))?;
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines().filter(|line| {
            line.starts_with("larder_db_queries_total{")
                && !line.contains("larder_purpose=\"feed\"")
        });
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum())
    }
}

impl Errors {
    fn all(&self) -> u64 {
        self.0.values().sum()
    }

    /// Whether the key was not enough for a write; reads need none.
    fn forbidden(&self) -> bool {
        [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN]
            .iter()
            .any(|status| self.0.contains_key(&status.as_u16()))
    }

    /// How many, and which.
    fn text(&self) -> String {
        let kinds = self.0.iter().map(|(status, count)| match status {
            0 => format!("no answer: {count}"),
            status => format!("{status}: {count}"),
        });
        let kinds: Vec<String> = kinds.collect();
        match self.all() {
            0 => "0 errors".to_owned(),
            all => format!("{all} errors ({})", kinds.join(", ")),
        }
    }
}

impl Moment {
    async fn now(shared: &Shared, bases: &[String]) -> Result<Self, Failure> {
        let mut queries = 0.0;
        for base in bases {
            queries += shared.queries(base).await?;
        }
        let answered = shared.answered.load(Ordering::Relaxed);
        Ok(Self { at: Instant::now(), answered, queries: Some(queries) })
    }

    /// Database queries since `before`.
    fn queries_since(&self, before: &Self) -> Option<f64> {
        Some((self.queries? - before.queries?).max(0.0))
    }

    fn line(&self, before: &Self, errors: &Errors) -> String {
        let seconds = (self.at - before.at).as_secs_f64();
        let requests = (self.answered - before.answered) as f64 / seconds;
        let queries = self
            .queries_since(before)
            .map_or_else(|| "?".to_owned(), |queries| format!("{:.0}", queries / seconds));
        let errors = errors.all();
        format!("{requests:>5.0} requests/s  {queries:>5} database queries/s  {errors} errors")
    }

    fn summary(&self, begin: &Self, errors: &Errors) -> String {
        let seconds = (self.at - begin.at).as_secs_f64();
        let requests = self.answered - begin.answered;
        let queries = self.queries_since(begin).unwrap_or_default();
        let each = 100.0 * queries / requests.max(1) as f64;
        format!(
            "{requests} requests in {seconds:.0} s, {queries:.0} database queries \
             ({each:.1} for 100 requests), {}",
            errors.text()
        )
    }
}

/// Ends when somebody wants it to end.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => terminate.recv().await,
            Err(_unavailable) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminated => {}
    }
}
