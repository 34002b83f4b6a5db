//! Answers for people to read.

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

pub(crate) fn journal(answer: &Value) -> String {
    let process = &answer["process"];
    let number = |name: &str| process[name].as_u64().unwrap_or_default();
    let per = |whole: &str, parts: &str| match number(parts) {
        0 => String::new(),
        parts => format!(", {:.1} each", number(whole) as f64 / parts as f64),
    };
    let appends = format!("{} in {} appends", number("appended"), number("appends"));
    let flushes = format!("{} in {} flushes", number("flushed"), number("flushes"));
    let coalesced = number("coalesced");
    pairs([
        ("mode", plain(&answer["mode"])),
        ("waiting", plain(&answer["depth"])),
        ("oldest", seconds(&answer["oldest_age_ms"])),
        ("dead letters", plain(&answer["dead_letters"])),
        ("appended", appends + &per("appended", "appends")),
        ("flushed", format!("{flushes}{}; {coalesced} coalesced", per("flushed", "flushes"))),
        ("failed", format!("{} attempts; {} not taken", number("failed"), number("full"))),
    ])
}

pub(crate) fn write(answer: &Value) -> String {
    format!("{}\n", plain(&answer["state"]))
}

pub(crate) fn letters(answer: &Value) -> String {
    let letters = answer["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    if letters.is_empty() {
        return "There is none.\n".to_owned();
    }
    let mut text =
        format!("{:>10}  {:<12} {:>8}  {:>10}  error\n", "position", "key", "attempts", "age");
    for letter in letters {
        let part = |name: &str| plain(&letter[name]);
        let _infallible = writeln!(
            text,
            "{:>10}  {:<12} {:>8}  {:>10}  {}",
            part("position"),
            part("key"),
            part("attempts"),
            seconds(&letter["age_ms"]),
            part("error"),
        );
    }
    text
}

pub(crate) fn letter(answer: &Value) -> String {
    let part = |name: &str| plain(&answer[name]);
    pairs([
        ("position", part("position")),
        ("key", part("key")),
        ("operation", part("operation")),
        ("error", part("error")),
        ("attempts", part("attempts")),
        ("acknowledged", format!("{} ago", seconds(&answer["age_ms"]))),
    ])
}

pub(crate) fn replayed(answer: &Value) -> String {
    format!("It waits again, at {}.\n", plain(&answer["position"]))
}

pub(crate) fn dropped(_nothing: &Value) -> String {
    "It is gone.\n".to_owned()
}
