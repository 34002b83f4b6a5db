//! Settings whose values are in files: `LARDER__SECTION__KEY_FILE`, as secrets are mounted.

use toml::Table;

use super::{ConfigError, merge};

/// What the name of such a variable ends with.
const SUFFIX: &str = "_FILE";

/// The variables, those that name a file replaced by what is in it, without the newline at its end.
/// A setting whose own name ends in `_file`, such as `redis.ca_file`, is none of them.
pub(super) fn read(
    known: &Table,
    variables: &[(String, String)],
) -> Result<Vec<(String, String)>, ConfigError> {
    let setting = |name: &str| merge::locate(known, name).ok();
    let of_file = |name: &str| {
        let stem = name.strip_suffix(SUFFIX).filter(|_| setting(name).is_none())?;
        setting(stem).map(|setting| (stem.to_owned(), setting))
    };
    let mut read = Vec::with_capacity(variables.len());
    for (name, value) in variables {
        let Some((stem, wanted)) = of_file(name) else {
            read.push((name.clone(), value.clone()));
            continue;
        };
        let same = |(other, _): &&(String, String)| {
            other != name
                && (setting(other).as_ref() == Some(&wanted)
                    || of_file(other).is_some_and(|(_, setting)| setting == wanted))
        };
        if let Some((other, _)) = variables.iter().find(same) {
            let reason = format!("is set as well as {other}: keep one of them");
            return Err(ConfigError::value(name, reason));
        }
        let text = std::fs::read_to_string(value)
            .map_err(|error| ConfigError::value(name, format!("{value}: {error}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        read.push((stem, text.strip_suffix('\r').unwrap_or(text).to_owned()));
    }
    Ok(read)
}
