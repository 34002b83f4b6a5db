//! What the cache does and holds.

use serde_json::Value;

use super::{list, pairs, plain, seconds, table};

/// A row for each namespace.
pub(crate) fn stats(answer: &Value) -> String {
    let queries = list(&answer["queries"]["rows"]);
    let rows = list(&answer["cache"]["namespaces"]).iter().map(|it| {
        let number = |value: &Value| value.as_u64().unwrap_or_default();
        let looked = number(&it["hits"]) + number(&it["misses"]);
        let ratio = match looked {
            0 => "-".to_owned(),
            looked => format!("{:.3}", number(&it["hits"]) as f64 / looked as f64),
        };
        let of = queries.iter().filter(|row| row["namespace"] == it["namespace"]);
        let asked: u64 = of.map(|row| number(&row["completed"])).sum();
        [
            plain(&it["namespace"]),
            plain(&it["strategy"]),
            plain(&it["tiers"]),
            looked.to_string(),
            ratio,
            plain(&it["l1"]["hits"]),
            plain(&it["l2"]["hits"]),
            plain(&it["loads"]),
            asked.to_string(),
        ]
    });
    let names =
        ["namespace", "strategy", "tiers", "lookups", "hit ratio", "l1", "l2", "loads", "queries"];
    let totals = &answer["queries"]["totals"];
    let redis = if answer["cache"]["redis_available"] == true { "up" } else { "down" };
    let below = pairs([
        ("statements", format!("{} completed", plain(&totals["completed"]))),
        ("", format!("{} failed, {} unknown", plain(&totals["failed"]), plain(&totals["unknown"]))),
        ("redis", format!("{redis}, {} round trips", plain(&answer["cache"]["redis_round_trips"]))),
    ]);
    format!("{}\n{below}", table(names, rows))
}

pub(crate) fn inspection(answer: &Value) -> String {
    let mut rows = Vec::new();
    for tier in ["l1", "l2"] {
        let held = &answer[tier];
        if held.is_null() {
            continue;
        }
        let stale = if held["stale"] == true { "stale" } else { "fresh" };
        let leased = if held["leased"] == true { "yes" } else { "no" };
        let tags = held["tags"].as_object();
        let tags = tags.map(|tags| tags.keys().cloned().collect::<Vec<_>>().join(" "));
        rows.push([
            tier.to_owned(),
            plain(&held["state"]),
            plain(&held["version"]),
            plain(&held["bytes"]),
            seconds(&held["expires_in_ms"]),
            stale.to_owned(),
            leased.to_owned(),
            tags.unwrap_or_default(),
        ]);
    }
    let mut text = match rows.len() {
        0 => "No tier holds it.\n".to_owned(),
        _ => table(["tier", "state", "version", "bytes", "goes in", "age", "leased", "tags"], rows),
    };
    if let Some(why) = answer["l2_unavailable"].as_str() {
        text.push_str(&format!("Redis could not be asked: {why}.\n"));
    }
    text
}

pub(crate) fn invalidated(answer: &Value) -> String {
    let told = match (answer["told"] == true, &answer["kept_elsewhere_ms"]) {
        (false, _) if answer["told_later"] == true => {
            "Not all could be told; the change feed tells them.".to_owned()
        }
        (true, Value::Null) => "All have been told.".to_owned(),
        (true, kept) => format!(
            "All that hear the backplane have been told. Under ttl one that does not keeps what it \
             holds until it does, for {} at most.",
            seconds(kept)
        ),
        (false, Value::Null) => {
            "Not all could be told, and no change feed tells them later: ask again when Redis answers."
                .to_owned()
        }
        (false, kept) => format!(
            "Not all could be told, and under ttl nothing tells them later: what is old can be answered \
             for {} at most. Ask again when Redis answers.",
            seconds(kept)
        ),
    };
    let what = match answer["key"].as_str() {
        Some(key) => format!("Older than {} is old of key {key}.", plain(&answer["version"])),
        None => format!("Older than epoch {} is old.", plain(&answer["epoch"])),
    };
    format!("{what} {told}\n")
}

/// A row for each process.
pub(crate) fn relay(answer: &Value) -> String {
    let yes = |value: &Value| if *value == true { "yes" } else { "no" }.to_owned();
    let rows = list(&answer["processes"]).iter().map(|process| {
        let relay = &process["coherence"]["relay"];
        let active = relay["active"] == true;
        // What another process knows of it is nothing.
        let lag = if active { format!("{} ms", plain(&relay["lag_ms"])) } else { "-".to_owned() };
        [
            plain(&process["api"]),
            yes(&process["coherence"]["proven"]),
            yes(&relay["active"]),
            lag,
            plain(&relay["backlog"]),
            plain(&relay["relayed"]),
            plain(&relay["replays"]),
            plain(&relay["clears"]),
        ]
    });
    let names = ["process", "hears", "relays", "behind", "backlog", "relayed", "replays", "clears"];
    table(names, rows)
}
