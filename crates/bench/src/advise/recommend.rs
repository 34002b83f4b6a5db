//! What to do, by the figures.

use std::fmt::Write as _;

use super::outcome::{Advice, L1Row, Recommendation};
use crate::report::{megabytes, percent};
use crate::scenario::ReadView;

/// A cache that answers less than this part of the reads is not worth its upkeep.
const LEAST: f64 = 0.1;
/// An L1 that answers less than this part of the reads is not worth its memory.
const LEAST_L1: f64 = 0.05;
/// A bounded time to live may cost this part more loads than an unbounded one: it frees the
/// memory of what nobody reads.
const TTL_COST: f64 = 0.01;
/// A size that answers so much less than the best one is as good.
const AS_GOOD: f64 = 0.01;

/// No cache.
pub(super) fn nothing(namespace: ReadView) -> Recommendation {
    let mut recommendation = Recommendation {
        strategy: "none".to_owned(),
        tiers: "none".to_owned(),
        l1_eviction: "s3-fifo".to_owned(),
        l1_capacity_bytes: 0,
        ttl_ms: None,
        reasons: Vec::new(),
        toml: String::new(),
    };
    recommendation.toml = toml(&recommendation, namespace);
    recommendation
}

/// What `advice`'s figures speak for.
pub(super) fn recommend(advice: &Advice, namespace: ReadView) -> Recommendation {
    let mut chosen = nothing(namespace);
    let ceiling = percent(advice.ceiling);
    if advice.ceiling < LEAST {
        chosen.reasons.push(format!(
            "No cache could answer more than {ceiling} of these reads: too little is read twice \
             before it changes. Leave it uncached."
        ));
        chosen.toml = toml(&chosen, namespace);
        return chosen;
    }
    "read-through".clone_into(&mut chosen.strategy);
    chosen.reasons.push(format!(
        "read-through with a shared tier sends {} loads in place of {}: {ceiling} of the reads are \
         answered without Postgres, which no cache could exceed.",
        advice.floor.loads(),
        advice.traffic.reads
    ));
    match best_l1(advice) {
        Some(l1) if l1.hit_ratio.value >= LEAST_L1 => {
            "l1+l2".clone_into(&mut chosen.tiers);
            chosen.l1_eviction.clone_from(&l1.eviction);
            chosen.l1_capacity_bytes = l1.capacity_bytes;
            let reached = l1.hit_ratio.value >= advice.l1.target;
            chosen.reasons.push(format!(
                "An L1 of {} with {} answers {} of the reads in the process{}.",
                megabytes(l1.capacity_bytes),
                l1.eviction,
                percent(l1.hit_ratio.value),
                if reached {
                    format!(
                        ": the smallest that was tried which reaches {}",
                        percent(advice.l1.target)
                    )
                } else {
                    format!("; none that was tried reaches {}", percent(advice.l1.target))
                }
            ));
        }
        _ => {
            "l2".clone_into(&mut chosen.tiers);
            chosen.reasons.push(
                "L1 would answer hardly anything at the sizes that were tried: leave it out."
                    .to_owned(),
            );
        }
    }
    chosen.ttl_ms = short_ttl(advice);
    match chosen.ttl_ms {
        Some(ttl) => chosen.reasons.push(format!(
            "A time to live of {} s costs at most {} more loads than an unbounded one. Changes are \
             heard of whatever it is; it frees the memory of what nobody reads.",
            ttl / 1_000,
            percent(TTL_COST)
        )),
        None => chosen.reasons.push(
            "The time to live stays as it is by default: changes are heard of whatever it is, and \
             the log does not show a shorter one that costs no loads."
                .to_owned(),
        ),
    }
    chosen.toml = toml(&chosen, namespace);
    chosen
}

/// The smallest L1 that reaches the target; where none does, the smallest that is about as good
/// as the best.
fn best_l1(advice: &Advice) -> Option<&L1Row> {
    let rows = &advice.l1.rows;
    let most = rows.iter().map(|row| row.hit_ratio.value).fold(0.0, f64::max);
    let enough = advice.l1.target.min(most - AS_GOOD);
    let good = rows.iter().filter(|row| row.hit_ratio.value >= enough);
    good.min_by(|a, b| {
        let size = a.capacity_bytes.cmp(&b.capacity_bytes);
        size.then(b.hit_ratio.value.total_cmp(&a.hit_ratio.value))
    })
}

fn short_ttl(advice: &Advice) -> Option<u64> {
    let rows = || advice.strategies.iter().filter(|row| row.strategy.contains("read-through"));
    let unbounded = rows().find(|row| row.ttl_ms.is_none())?.demand.loads as f64;
    let cheap = rows().filter(|row| row.demand.loads as f64 <= unbounded * (1.0 + TTL_COST));
    cheap.filter_map(|row| row.ttl_ms).min()
}

fn toml(chosen: &Recommendation, namespace: ReadView) -> String {
    let mut text = String::from(
        "# Recommended by `larder-bench advise`. Keys left out keep their defaults.\n",
    );
    for reason in &chosen.reasons {
        let _ = writeln!(text, "# * {reason}");
    }
    let _ = writeln!(text, "\n[namespaces.{}]", namespace.namespace());
    let _ = writeln!(text, "strategy = \"{}\"", chosen.strategy);
    let _ = writeln!(text, "tiers = \"{}\"", chosen.tiers);
    if chosen.l1_capacity_bytes > 0 {
        let _ = writeln!(text, "l1_capacity_bytes = {}", chosen.l1_capacity_bytes);
        let _ = writeln!(text, "l1_eviction = \"{}\"", chosen.l1_eviction);
    }
    if let Some(ttl) = chosen.ttl_ms {
        let _ = writeln!(text, "ttl_ms = {ttl}");
    }
    text
}
