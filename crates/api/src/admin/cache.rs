//! `GET /admin/cache`: each namespace's strategy and what it has counted.

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use catalog_domain::View;
use larder::{Coherence, TierStats};
use serde_json::{Value, json};

use crate::app::State;
use crate::routes::resource;

pub(super) fn configure(service: &mut ServiceConfig) {
    service.service(resource("/cache").route(web::get().to(show)));
}

async fn show(state: Data<State>) -> HttpResponse {
    let shared = state.catalogue.shared();
    let stats = shared.metrics.stats();
    let namespaces: Vec<Value> = View::ALL
        .into_iter()
        .map(|view| {
            let settings = state.catalogue.settings(view);
            let counted = stats.get(view.namespace()).copied().unwrap_or_default();
            json!({
                "namespace": view.namespace(),
                "strategy": settings.strategy.as_str(),
                "tiers": settings.tiers.as_str(),
                "ttl_ms": settings.options.ttl.map(|ttl| ttl.as_millis() as u64),
                "floor_epoch": settings.options.floor_epoch,
                "hits": counted.hits,
                "misses": counted.misses,
                "l1": lookups(counted.l1),
                "l1_entries": counted.l1_entries,
                "l1_bytes": counted.l1_bytes,
                "l2": lookups(counted.l2),
                "loads": counted.loads,
                "loads_failed": counted.loads_failed,
                "refreshes": counted.refreshes,
                "coalesced": {
                    "process": counted.coalesced_process,
                    "cluster": counted.coalesced_cluster,
                },
                "fills_rejected": counted.fills_rejected,
                "invalidations": counted.invalidations,
                "invalidations_lost": counted.invalidations_lost,
                "invalidations_feed": counted.invalidations_feed,
                "invalidations_backplane": counted.invalidations_backplane,
                "unreadable": counted.unreadable,
                "verified": {
                    "sampled": counted.verified.sampled,
                    "stale": counted.verified.stale,
                },
            })
        })
        .collect();
    HttpResponse::Ok().json(json!({
        "redis_available": shared.l2.is_available(),
        "redis_round_trips": shared.l2.round_trips(),
        "coherence": shared.coherence.as_deref().map(coherence),
        "namespaces": namespaces,
    }))
}

fn coherence(kept: &Coherence) -> Value {
    let relay = kept.relay();
    json!({
        "proven": kept.is_proven(),
        "relay": {
            "active": relay.is_active(),
            "relayed": relay.relayed(),
            "backlog": relay.backlog(),
            "replays": relay.replays(),
            "clears": relay.clears(),
            "lag_ms": relay.lag().as_millis() as u64,
        },
    })
}

fn lookups(counted: TierStats) -> Value {
    json!({
        "hits": counted.hits,
        "stale": counted.stale,
        "negative": counted.negative,
        "misses": counted.misses,
    })
}
