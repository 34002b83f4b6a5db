//! Where the servers' programs are.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::StackError;

/// Forces the directory that programs are taken from, and no other.
const FORCED: &str = "LARDER_SERVERS_BIN";

/// The programs a stack runs.
#[derive(Clone, Debug)]
pub(crate) struct Binaries {
    pub(crate) postgres: PathBuf,
    pub(crate) initdb: PathBuf,
    pub(crate) redis: PathBuf,
}

impl Binaries {
    /// Looks for all of them.
    pub(crate) fn find() -> Result<Self, StackError> {
        let folders = folders();
        let postgres_install = "apt-get install postgresql (Debian), brew install postgresql@17";
        let redis_install = "apt-get install redis-server (Debian), brew install redis";
        Ok(Self {
            postgres: find(&folders, "postgres", &["postgres"], postgres_install)?,
            initdb: find(&folders, "initdb", &["initdb"], postgres_install)?,
            redis: find(
                &folders,
                "redis-server (or valkey-server)",
                &["redis-server", "valkey-server"],
                redis_install,
            )?,
        })
    }
}

/// The folders to look in, the stack's own first.
fn folders() -> Vec<PathBuf> {
    if let Some(forced) = env::var_os(FORCED) {
        return vec![forced.into()];
    }
    let own = env::var_os("STACK_DIR").map_or_else(|| PathBuf::from(".stack"), PathBuf::from);
    let mut folders = vec![own.join("bin")];
    // Tests run in their crate's folder, two below the workspace.
    folders.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.stack/bin"));
    folders.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    folders.extend(versioned("/usr/lib/postgresql", "bin"));
    folders.extend(versioned("/opt/homebrew/opt", "bin"));
    folders.extend(["/usr/local/bin", "/usr/local/pgsql/bin", "/opt/homebrew/bin"].map(Into::into));
    folders
}

/// `<root>/*/<tail>`, newest version first.
fn versioned(root: &str, tail: &str) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(root) else { return Vec::new() };
    let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    let number = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0)
    };
    names.sort_by_key(|path| std::cmp::Reverse(number(path)));
    names.into_iter().map(|name| name.join(tail)).collect()
}

fn find(
    folders: &[PathBuf],
    program: &'static str,
    names: &[&str],
    install: &'static str,
) -> Result<PathBuf, StackError> {
    for folder in folders {
        for name in names {
            let path = folder.join(name);
            if path.is_file() {
                // Servers run in folders of their own: a relative path would not be found.
                return std::path::absolute(&path).map_err(StackError::file(path));
            }
        }
    }
    let looked: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
    Err(StackError::Missing { program, looked: looked.join(", "), install })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_with_how_to_install_it() {
        let error = find(&["/nowhere".into()], "redis-server", &["redis-server"], "brew install x")
            .expect_err("it is not there");
        let message = error.to_string();
        for part in ["redis-server", "/nowhere", "make deps", "brew install x"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
