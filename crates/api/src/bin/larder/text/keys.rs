//! API keys.

use serde_json::Value;

use super::{list, pairs, plain, table};

pub(crate) fn listed(answer: &Value) -> String {
    let rows = list(&answer["keys"]).iter().map(|key| {
        let scopes: Vec<String> = list(&key["scopes"]).iter().map(plain).collect();
        [
            plain(&key["id"]),
            scopes.join(","),
            plain(&key["created_at"]),
            key["revoked_at"].as_str().unwrap_or("-").to_owned(),
            plain(&key["note"]),
        ]
    });
    table(["id", "scopes", "made", "revoked", "note"], rows)
}

/// The key itself is shown this once.
pub(crate) fn created(answer: &Value) -> String {
    pairs([("id", plain(&answer["id"])), ("key, shown once", plain(&answer["key"]))])
}

pub(crate) fn revoked(_nothing: &Value) -> String {
    "It opens nothing any more, in other processes after server.key_memory_ms at most.\n".to_owned()
}
