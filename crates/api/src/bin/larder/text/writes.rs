//! Writes that wait, and those that could not be applied.

use serde_json::Value;

use super::{pairs, plain, seconds, table};

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
    let left = answer["left"].as_array().into_iter().flatten().map(|left| {
        let part = |name: &str| plain(&left[name]);
        let (mode, depth, dead) = (part("mode"), part("depth"), part("dead_letters"));
        let holds = match left.get("error") {
            Some(_) => format!("not known of the mode {mode}: its journal does not answer"),
            None => format!("{depth} of the mode {mode}, {dead} dead letters"),
        };
        ("left", holds)
    });
    let own = [
        ("mode", plain(&answer["mode"])),
        ("waiting", plain(&answer["depth"])),
        ("oldest", seconds(&answer["oldest_age_ms"])),
        ("dead letters", plain(&answer["dead_letters"])),
        ("appended", appends + &per("appended", "appends")),
        ("flushed", format!("{flushes}{}; {coalesced} coalesced", per("flushed", "flushes"))),
        ("failed", format!("{} attempts; {} not taken", number("failed"), number("full"))),
    ];
    pairs(own.into_iter().chain(left))
}

pub(crate) fn write(answer: &Value) -> String {
    format!("{}\n", plain(&answer["state"]))
}

pub(crate) fn letters(answer: &Value) -> String {
    let letters = answer["dead_letters"].as_array().map_or(&[][..], Vec::as_slice);
    let unknown = answer["unavailable"].as_array().into_iter().flatten().map(|mode| {
        format!(
            "The journal of the mode {} does not answer: what it has is not shown.\n",
            plain(mode)
        )
    });
    let unknown = unknown.collect::<String>();
    if letters.is_empty() {
        return if unknown.is_empty() { "There is none.\n".to_owned() } else { unknown };
    }
    let rows = letters.iter().map(|letter| {
        let part = |name: &str| plain(&letter[name]);
        let [position, mode, key] = ["position", "mode", "key"].map(part);
        [position, mode, key, part("attempts"), seconds(&letter["age_ms"]), part("error")]
    });
    table(["position", "mode", "key", "attempts", "age", "error"], rows) + &unknown
}

pub(crate) fn letter(answer: &Value) -> String {
    let part = |name: &str| plain(&answer[name]);
    pairs([
        ("position", part("position")),
        ("mode", part("mode")),
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
