//! What was found, for a terminal.

use std::fmt::{self, Write};

use super::outcome::Chaos;

/// A table of all kinds of faults, and what is wrong.
#[must_use]
pub fn text(chaos: &Chaos) -> String {
    let mut out = String::new();
    tell(chaos, &mut out).expect("writing to a String cannot fail");
    out
}

fn tell(chaos: &Chaos, out: &mut String) -> fmt::Result {
    writeln!(out, "\nwrite-behind, {}, {} processes", chaos.mode, chaos.processes)?;
    writeln!(
        out,
        "\n{:<24} {:>6} {:>12} {:>15} {:>7} {:>8} {:>5} {:>5} {:>5} {:>6} {:>9}",
        "fault",
        "rounds",
        "acknowledged",
        "unknown (there)",
        "refused",
        "reads",
        "lost",
        "twice",
        "order",
        "undone",
        "outage ms",
    )?;
    for of in &chaos.faults {
        writeln!(
            out,
            "{:<24} {:>6} {:>12} {:>15} {:>7} {:>8} {:>5} {:>5} {:>5} {:>6} {:>9.0}",
            of.fault,
            of.rounds,
            of.acknowledged,
            format!("{} ({})", of.unknown, of.unknown_arrived),
            of.refused,
            of.reads,
            of.lost,
            of.twice,
            of.order,
            of.undone,
            of.longest_outage_ms,
        )?;
    }
    for of in &chaos.faults {
        if of.left + of.dead_letters > 0 {
            writeln!(
                out,
                "\n{}: {} writes are left in the journal, {} are dead letters",
                of.fault, of.left, of.dead_letters
            )?;
        }
        for case in &of.cases {
            writeln!(out, "\n{}: {case}", of.fault)?;
        }
    }
    let holds = match (chaos.holds, chaos.mode.as_str()) {
        (true, "journaled") => "all holds",
        (true, _) => "figures, of a mode that does not promise zero",
        (false, _) => "DOES NOT HOLD",
    };
    writeln!(out, "\n{holds}")
}
