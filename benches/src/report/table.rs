//! One group as a table.

use anyhow::{Context, Result, ensure};

use super::Measured;

/// The rows of `group`, each with its ratio to `base`: the function of that name with the same
/// value, or else the row of that name.
///
/// # Errors
///
/// When nothing of the group, or no such base, was measured.
pub fn table(rows: &[Measured], group: &str, base: &str) -> Result<String> {
    let rows: Vec<&Measured> = rows.iter().filter(|row| row.group == group).collect();
    ensure!(!rows.is_empty(), "nothing of the group {group:?} was measured in this run");
    let several = rows.iter().any(|row| row.elements.is_some());
    let each = if several { (" each |", " --- |") } else { ("", "") };
    let mut lines = vec![
        format!("| `{group}` | median | 95 % interval |{} ratio to `{base}` |", each.0),
        format!("| --- | --- | --- |{} --- |", each.1),
    ];
    for row in &rows {
        let reference = reference(&rows, row, base).with_context(|| {
            format!("{group}: there is no {base:?} to compare {} with", row.name())
        })?;
        let (low, high) = row.interval;
        let each = match row.elements {
            _ if !several => String::new(),
            Some(count) => format!(" {} |", time(row.median / count as f64)),
            None => " |".to_owned(),
        };
        lines.push(format!(
            "| {} | {} | {} to {} |{each} {} |",
            row.name(),
            time(row.median),
            time(low),
            time(high),
            ratio(row, reference),
        ));
    }
    Ok(lines.join("\n"))
}

fn reference<'a>(rows: &[&'a Measured], row: &Measured, base: &str) -> Option<&'a Measured> {
    let alike =
        |other: &&&Measured| other.function.as_deref() == Some(base) && other.value == row.value;
    let named = |other: &&&Measured| other.name() == base;
    rows.iter().find(alike).or_else(|| rows.iter().find(named)).copied()
}

/// How many times `base` `row` takes, and between which bounds: the quickest that one may be over
/// the slowest that the other may be, and the other way round.
fn ratio(row: &Measured, base: &Measured) -> String {
    if row == base {
        return "1".to_owned();
    }
    let (low, high) = (row.interval.0 / base.interval.1, row.interval.1 / base.interval.0);
    format!("{:.2} ({low:.2} to {high:.2})", row.median / base.median)
}

/// Nanoseconds with three digits and a unit.
fn time(nanos: f64) -> String {
    let (figure, unit) = match nanos {
        below if below < 999.5 => (nanos, "ns"),
        below if below < 999.5e3 => (nanos / 1e3, "µs"),
        below if below < 999.5e6 => (nanos / 1e6, "ms"),
        _ => (nanos / 1e9, "s"),
    };
    let digits = match figure {
        small if small < 9.995 => 2,
        middle if middle < 99.95 => 1,
        _ => 0,
    };
    format!("{figure:.digits$} {unit}")
}
