//! A namespace that has nothing to do with products: exchange rates, whose origin is a service
//! that is slow and sometimes gone.
//!
//! `cargo run -p larder --example exchange_rates`

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use larder::{
    Cache, Freshness, Json, L1Options, L2, Loaded, MemoryTier, Metrics, NamespaceOptions, Schema,
    Version,
};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Rate {
    per_euro: f64,
}

impl Schema for Rate {
    const SCHEMA: &'static str = "rate/1";
}

/// Answers the first request, and is gone after that.
async fn ask_the_bank(requests: Arc<AtomicU64>) -> Result<Loaded<Json<Rate>>, std::io::Error> {
    let number = requests.fetch_add(1, Ordering::SeqCst);
    if number > 0 {
        return Err(std::io::Error::other("the bank does not answer"));
    }
    // What the bank publishes has a number of its own, which grows: that is its version.
    Ok(Loaded::found(Version::new(1, 2_026_328), Json::from(Rate { per_euro: 1.08 })))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let requests = Arc::new(AtomicU64::new(0));
    let options = NamespaceOptions {
        // Fresh for a moment here; for the bank's own period in earnest.
        ttl: Some(Duration::from_millis(50)),
        // An old rate is better than none, for a day.
        stale_for: Duration::from_secs(86_400),
        l1: Some(L1Options::default()),
        ..NamespaceOptions::default()
    };
    let l2 = Arc::new(L2::Memory(MemoryTier::default()));
    let rates: Cache<String, Json<Rate>> =
        Cache::new("dev", "exchange-rates", options, l2, &Metrics::default())?.with_source({
            let requests = Arc::clone(&requests);
            move |_currency: String| ask_the_bank(Arc::clone(&requests))
        });
    let dollar = "USD".to_owned();
    let fresh = rates.get(&dollar).await?;
    assert_eq!(fresh.freshness, Freshness::Fresh);
    tokio::time::sleep(Duration::from_millis(60)).await;
    let stale = rates.get(&dollar).await?;
    assert_eq!(stale.freshness, Freshness::Stale);
    let rate = stale.value.ok_or("the bank knows the dollar")?;
    println!("1 EUR = {} USD ({:?}, from {})", rate.per_euro, stale.freshness, stale.tier.as_str());
    Ok(())
}
