//! Postgres refuses to run as root: as whom it runs then.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StackError;

/// Users that Postgres is run as when the caller is root, in this order.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// The user that Postgres runs as: another one only when the caller is root.
#[derive(Clone, Debug)]
pub(crate) enum RunAs {
    /// The caller.
    Caller,
    /// An unprivileged user.
    User { uid: u32, gid: u32 },
}

impl RunAs {
    pub(crate) fn unprivileged() -> Result<Self, StackError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        let passwd =
            std::fs::read_to_string("/etc/passwd").map_err(StackError::file("/etc/passwd"))?;
        CANDIDATES
            .iter()
            .find_map(|user| {
                let line = passwd.lines().find(|line| line.split(':').next() == Some(user))?;
                let mut fields = line.split(':').skip(2);
                let uid = fields.next()?.parse().ok()?;
                let gid = fields.next()?.parse().ok()?;
                Some(Self::User { uid, gid })
            })
            .ok_or_else(|| StackError::Run {
                program: "postgres".to_owned(),
                reason: format!("it refuses to run as root, and there is no user {CANDIDATES:?}"),
            })
    }

    /// A command that runs `program` as this user, optionally sent `signal` when the thread
    /// that starts it ends.
    pub(crate) fn command(&self, program: &Path, death_signal: Option<&str>) -> Command {
        let mut prefix: Vec<String> = Vec::new();
        if let Self::User { uid, gid } = self {
            prefix.extend([
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".to_owned(),
            ]);
        }
        if let Some(signal) = death_signal
            && cfg!(target_os = "linux")
        {
            prefix.push(format!("--pdeathsig={signal}"));
        }
        if prefix.is_empty() {
            return Command::new(program);
        }
        let mut command = Command::new("setpriv");
        command.args(prefix).arg("--").arg(program);
        command
    }

    /// Makes `folder` this user's own.
    pub(crate) fn own(&self, folder: &Path) -> Result<(), StackError> {
        if let Self::User { uid, gid } = *self {
            std::os::unix::fs::chown(folder, Some(uid), Some(gid))
                .map_err(StackError::file(folder))?;
        }
        Ok(())
    }

    /// `wanted` if this user can reach it, else a folder below the system's temporary one
    /// that belongs to `wanted` alone.
    pub(crate) fn reachable(&self, wanted: &Path) -> Result<PathBuf, StackError> {
        if matches!(self, Self::Caller) {
            return Ok(wanted.to_owned());
        }
        let parent = wanted.parent().unwrap_or(wanted);
        let enters = self
            .command(Path::new("test"), None)
            .arg("-x")
            .arg(parent)
            .status()
            .map_err(StackError::run("setpriv"))?;
        if enters.success() {
            return Ok(wanted.to_owned());
        }
        let name = wanted.display().to_string().replace('/', "-");
        Ok(Path::new("/var/tmp").join(format!("larder{name}")))
    }
}
