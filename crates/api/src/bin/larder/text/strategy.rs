//! Strategies, and who has followed.

use serde_json::Value;

use super::{list, plain, table};

pub(crate) fn shown(answer: &Value) -> String {
    let rows = list(&answer["namespaces"]).iter().map(|it| {
        let configured = &it["configured"];
        [
            plain(&it["namespace"]),
            plain(&it["strategy"]),
            plain(&it["tiers"]),
            if it["chosen"] == true { "chosen" } else { "configured" }.to_owned(),
            it["changed_at"].as_str().unwrap_or("-").to_owned(),
            format!("{} {}", plain(&configured["strategy"]), plain(&configured["tiers"])),
        ]
    });
    let names = ["namespace", "strategy", "tiers", "by", "changed", "configured"];
    format!("{}\n{}", table(names, rows), processes(answer))
}

pub(crate) fn switched(answer: &Value) -> String {
    let part = |name: &str| plain(&answer[name]);
    let late = list(&answer["late"]).len();
    let told = match list(&answer["processes"]).len() {
        _ if late > 0 => format!("{late} have not followed yet"),
        1 => "its one process has followed".to_owned(),
        all => format!("all {all} processes have followed"),
    };
    let head = format!(
        "{} runs under {}, {} (generation {}): {told}.\n",
        part("namespace"),
        part("strategy"),
        part("tiers"),
        part("generation"),
    );
    let warning = answer["warning"].as_str().map(|warning| format!("Warning: {warning}.\n"));
    let below = if late > 0 { format!("\n{}", processes(answer)) } else { String::new() };
    format!("{head}{}{below}", warning.unwrap_or_default())
}

fn processes(answer: &Value) -> String {
    let rows = list(&answer["processes"]).iter().map(|process| {
        [
            plain(&process["process"]),
            plain(&process["address"]),
            plain(&process["generation"]),
            plain(&process["settled"]),
            format!("{} ms ago", plain(&process["seen_ms_ago"])),
        ]
    });
    table(["process", "address", "generation", "settled", "seen"], rows)
}
