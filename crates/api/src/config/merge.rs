//! Laying settings over the defaults, which tell which keys exist and of what type they are.

use toml::{Table, Value};

use super::ConfigError;

/// What the variables begin with.
pub(super) const PREFIX: &str = "LARDER__";

/// Lays a file's settings over `table`.
pub(super) fn file(table: &mut Table, text: &str, name: &str) -> Result<(), ConfigError> {
    let settings: Table = text.parse().map_err(|error: toml::de::Error| ConfigError::File {
        file: name.to_owned(),
        reason: error.to_string(),
    })?;
    lay(table, settings, "", name)
}

fn lay(below: &mut Table, above: Table, path: &str, source: &str) -> Result<(), ConfigError> {
    for (name, value) in above {
        let key = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let Some(default) = below.get_mut(&name) else {
            return Err(ConfigError::Unknown { key, source_name: source.to_owned() });
        };
        match (default, value) {
            (Value::Table(below), Value::Table(above)) => lay(below, above, &key, source)?,
            (default, value) => set(default, value, &key)?,
        }
    }
    Ok(())
}

/// Lays one variable over `table`: `LARDER__REDIS__NODES=a,b`, or
/// `LARDER__NAMESPACES__PRODUCT_PAGE__STRATEGY=ttl`.
pub(super) fn variable(table: &mut Table, name: &str, text: &str) -> Result<(), ConfigError> {
    let unknown =
        |key: String| ConfigError::Unknown { key, source_name: format!("the variable {name}") };
    let mut place = table;
    let mut path = String::new();
    let parts: Vec<&str> = name[PREFIX.len()..].split("__").collect();
    for (index, part) in parts.iter().enumerate() {
        let lower = part.to_lowercase();
        // Variables cannot have hyphens; some names of namespaces do.
        let known = [lower.clone(), lower.replace('_', "-")]
            .into_iter()
            .find(|name| place.contains_key(name))
            .unwrap_or(lower);
        path = if path.is_empty() { known.clone() } else { format!("{path}.{known}") };
        let last = index + 1 == parts.len();
        let Some(found) = place.get_mut(&known) else { return Err(unknown(path)) };
        match (found, last) {
            (Value::Table(inner), false) => place = inner,
            (Value::Table(_), true) | (_, false) => return Err(unknown(path)),
            (default, true) => {
                let value = parse(default, text);
                return set(default, value, &path);
            }
        }
    }
    Err(unknown(path))
}

/// What `text` means where `default` is.
fn parse(default: &Value, text: &str) -> Value {
    let parsed = match default {
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
        _ => None,
    };
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(default: &mut Value, value: Value, key: &str) -> Result<(), ConfigError> {
    let value = match (&*default, value) {
        // `1` is a fine way to write `1.0`.
        (Value::Float(_), Value::Integer(number)) => {
            Value::Float(number.to_string().parse().unwrap_or(f64::NAN))
        }
        (_, value) => value,
    };
    let strings =
        |value: &Value| value.as_array().is_none_or(|items| items.iter().all(Value::is_str));
    if !default.same_type(&value) || !strings(&value) {
        let expected = if default.is_array() { "an array of strings" } else { default.type_str() };
        let found = value.type_str();
        return Err(ConfigError::value(key, format!("must be {expected}, is {found}")));
    }
    if value.as_integer().is_some_and(|number| number < 0) {
        return Err(ConfigError::value(key, "must not be negative"));
    }
    *default = value;
    Ok(())
}
