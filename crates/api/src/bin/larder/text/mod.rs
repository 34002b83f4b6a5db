//! Answers for people to read.

pub(crate) mod cache;
pub(crate) mod keys;
pub(crate) mod strategy;
pub(crate) mod writes;

use std::fmt::Write;

use serde_json::Value;

/// Names and values, one below the other.
fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> String {
    pairs.into_iter().fold(String::new(), |mut text, (name, value)| {
        let _infallible = writeln!(text, "{name:<14} {value}");
        text
    })
}

/// A string without its quotes; anything else as JSON.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn seconds(millis: &Value) -> String {
    format!("{:.1} s", millis.as_f64().unwrap_or_default() / 1_000.0)
}

/// What an array holds; nothing, if it is none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[][..], Vec::as_slice)
}

/// Columns as wide as what is in them: what begins with a digit to the right, all else to the left.
fn table<const N: usize>(names: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let names = names.map(str::to_owned);
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let widest = |column: usize| {
        let cells = rows.iter().chain([&names]).map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let right = |column: usize| {
        !rows.is_empty()
            && rows.iter().all(|row| row[column].starts_with(|it: char| it.is_ascii_digit()))
    };
    let mut text = String::new();
    for row in [&names].into_iter().chain(&rows) {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let width = widest(column);
            if right(column) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        let _infallible = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// Each setting on a line, by its path.
pub(crate) fn config(answer: &Value) -> String {
    let mut text = String::new();
    settings(answer, "", &mut text);
    text
}

fn settings(value: &Value, path: &str, text: &mut String) {
    match value.as_object() {
        Some(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                settings(value, &path, text);
            }
        }
        None => {
            let _infallible = writeln!(text, "{path} = {value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["a".to_owned(), "7".to_owned()], ["bcd".to_owned(), "1234".to_owned()]];
        assert_eq!(table(["name", "n"], rows), "name     n\na        7\nbcd   1234\n");
        assert_eq!(table(["name"], []), "name\n");
    }

    #[test]
    fn settings_are_told_by_their_paths() {
        let answer = json!({ "a": { "b": [1, "x"], "c": {} }, "d": "e" });
        assert_eq!(config(&answer), "a.b = [1,\"x\"]\nd = \"e\"\n");
    }
}
