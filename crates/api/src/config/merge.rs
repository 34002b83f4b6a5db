//! Laying settings over the defaults, which tell which keys exist and of what type they are.

use toml::{Table, Value};

use super::ConfigError;

/// What the variables begin with.
pub(super) const PREFIX: &str = "LARDER__";

/// Lays a file's settings over `table`.
pub(super) fn file(table: &mut Table, text: &str, name: &str) -> Result<(), ConfigError> {
    let settings: Table = text.parse().map_err(|error: toml::de::Error| {
        // The error's own text shows the line, which may hold a password.
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let reason = format!("line {line}: {}", error.message());
        ConfigError::File { file: name.to_owned(), reason }
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
    let source_name = format!("the variable {name}");
    let parts = locate(table, name).map_err(|key| ConfigError::Unknown { key, source_name })?;
    let (last, sections) = parts.split_last().expect("a setting has a name");
    let section = sections.iter().fold(table, |table, section| {
        table[section].as_table_mut().expect("what was located is in tables")
    });
    let default = &mut section[last];
    let value = parse(default, text);
    set(default, value, &parts.join("."))
}

/// The sections and the key of the setting that a variable names; where there is none, the path up
/// to where it was looked for.
pub(super) fn locate(table: &Table, name: &str) -> Result<Vec<String>, String> {
    let mut place = table;
    let mut path: Vec<String> = Vec::new();
    let parts: Vec<&str> = name[PREFIX.len()..].split("__").collect();
    for (index, part) in parts.iter().enumerate() {
        let lower = part.to_lowercase();
        // Variables cannot have hyphens; some names of namespaces do.
        let known = [lower.clone(), lower.replace('_', "-")]
            .into_iter()
            .find(|name| place.contains_key(name))
            .unwrap_or(lower);
        let last = index + 1 == parts.len();
        let found = place.get(&known);
        path.push(known);
        match (found, last) {
            (Some(Value::Table(inner)), false) => place = inner,
            (None | Some(Value::Table(_)), true) | (_, false) => return Err(path.join(".")),
            (Some(_), true) => {}
        }
    }
    Ok(path)
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
