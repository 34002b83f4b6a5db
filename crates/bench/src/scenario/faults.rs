//! What is wrong with a scenario file, and on which line.

use thiserror::Error;

/// Why a scenario cannot be run.
#[derive(Debug, Error)]
#[error("{file}:{line}: {message}")]
pub struct ScenarioError {
    file: String,
    line: usize,
    message: String,
}

/// A value that cannot work.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where: `section.key`, or a key before all sections.
    pub(crate) place: String,
    /// What it must be.
    pub(crate) must: String,
}

impl ScenarioError {
    /// Of text that is no scenario.
    pub(crate) fn syntax(file: &str, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count() + 1;
        let message = format!("{} (docs: crates/bench/README.md)", error.message().trim());
        Self { file: file.to_owned(), line, message }
    }

    /// Of a value that cannot work.
    pub(crate) fn value(file: &str, text: &str, fault: &Fault) -> Self {
        let Fault { place, must } = fault;
        Self {
            file: file.to_owned(),
            line: line_of(text, place).unwrap_or(1),
            message: format!("{place} {must}"),
        }
    }
}

/// The line of `section.key`; that of its section, where the key is left out.
fn line_of(text: &str, place: &str) -> Option<usize> {
    let (section, key) = place.rsplit_once('.').unwrap_or(("", place));
    let mut current = "";
    let mut header = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.starts_with('[') {
            current = line.trim_start_matches('[').split(']').next().unwrap_or_default().trim();
            if current == section {
                header = header.or(Some(number));
            }
        } else if current == section
            && line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
        {
            return Some(number);
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_its_section() {
        let text = "view = 1\n[a]\nseconds = 1\n\n[[b]]\n# seconds = 3\nseconds = 2\n";
        assert_eq!(line_of(text, "view"), Some(1));
        assert_eq!(line_of(text, "a.seconds"), Some(3));
        assert_eq!(line_of(text, "b.seconds"), Some(7));
        assert_eq!(line_of(text, "b.left_out"), Some(5));
        assert_eq!(line_of(text, "c.seconds"), None);
    }
}
