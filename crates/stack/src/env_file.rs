//! `.stack/env`: lines of KEY=value, for people and scripts.

use std::path::Path;

use crate::error::StackError;

/// Reads all pairs; an absent file has none.
///
/// # Errors
///
/// When the file is there and cannot be read.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, StackError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(StackError::file(path))?;
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    Ok(pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
}

/// Sets one key and keeps the others. The file is readable by its owner only: it holds
/// passwords.
///
/// # Errors
///
/// When the file cannot be written.
pub fn set(path: &Path, key: &str, value: &str) -> Result<(), StackError> {
    use std::os::unix::fs::PermissionsExt;

    let mut pairs = read(path)?;
    match pairs.iter_mut().find(|(known, _)| known == key) {
        Some(pair) => value.clone_into(&mut pair.1),
        None => pairs.push((key.to_owned(), value.to_owned())),
    }
    let text: String = pairs.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
    // Written beside and moved: a reader never sees half of it.
    let draft = path.with_extension("draft");
    std::fs::write(&draft, text).map_err(StackError::file(&draft))?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))
        .map_err(StackError::file(&draft))?;
    std::fs::rename(&draft, path).map_err(StackError::file(path))
}
