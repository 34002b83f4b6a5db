//! The Compose file as an engine would read it: variables put in, anchors merged.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{text, yaml};

/// The secrets that `make up` makes up.
pub(super) const SECRETS: [&str; 5] =
    ["ADMIN_KEY", "ADMIN_PASSWORD", "APP_PASSWORD", "FEED_PASSWORD", "GRAFANA_PASSWORD"];

/// `deploy/compose.yaml` with the variables of `deploy/.env`, and secrets of this test's own.
pub(super) struct Stack {
    file: Value,
}

/// What `deploy/.env` sets.
pub(super) fn defaults() -> BTreeMap<String, String> {
    let file = text("deploy/.env");
    let lines = file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once('=').unwrap_or_else(|| panic!(".env: {line}")));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// The same and the secrets.
pub(super) fn variables() -> BTreeMap<String, String> {
    let secret = |name: &&str| ((*name).to_owned(), format!("secret-of-{}", name.to_lowercase()));
    defaults().into_iter().chain(SECRETS.iter().map(secret)).collect()
}

/// The names in `${NAME:?…}` of the Compose file.
pub(super) fn used_variables() -> Vec<String> {
    let file = text("deploy/compose.yaml");
    let starts = file.match_indices("${");
    starts.map(|(at, _)| file[at + 2..].split(":?").next().unwrap_or_default().to_owned()).collect()
}

impl Stack {
    pub(super) fn read() -> Self {
        let mut file = yaml("deploy/compose.yaml");
        interpolate(&mut file, &variables());
        Self { file }
    }

    pub(super) fn services(&self) -> &Map<String, Value> {
        self.file["services"].as_object().expect("services")
    }

    pub(super) fn volumes(&self) -> &Map<String, Value> {
        self.file["volumes"].as_object().expect("volumes")
    }

    pub(super) fn service(&self, name: &str) -> &Value {
        self.services().get(name).unwrap_or_else(|| panic!("no service {name}"))
    }

    /// The words of a service's `command` or `entrypoint`.
    pub(super) fn words(&self, service: &str, key: &str) -> Vec<String> {
        let words = self.service(service)[key].as_array();
        let words = words.unwrap_or_else(|| panic!("{service}.{key} is no list"));
        words.iter().map(|word| word.as_str().expect("a string").to_owned()).collect()
    }

    pub(super) fn environment(&self, service: &str) -> BTreeMap<String, String> {
        let Some(pairs) = self.service(service)["environment"].as_object() else {
            return BTreeMap::new();
        };
        let text = |value: &Value| value.as_str().expect("quoted where it is no text").to_owned();
        pairs.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }
}

/// Puts variables in. The file uses `${NAME:?message}` alone, and `$$` for a dollar.
fn interpolate(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => *text = put(text, variables),
        Value::Array(items) => items.iter_mut().for_each(|item| interpolate(item, variables)),
        Value::Object(pairs) => {
            pairs.values_mut().for_each(|item| interpolate(item, variables));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn put(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let inner = after.strip_prefix('{').and_then(|after| after.split_once('}'));
        let (inner, after) = inner.unwrap_or_else(|| panic!("a lone dollar in {text}"));
        let (name, _) = inner.split_once(":?").unwrap_or_else(|| panic!("no message: {inner}"));
        out.push_str(variables.get(name).unwrap_or_else(|| panic!("{name} is set nowhere")));
        rest = after;
    }
    out + rest
}
