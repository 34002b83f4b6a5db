//! Processes that a stack started, told from all others.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde::{Deserialize, Serialize};

use crate::error::StackError;

/// A process by its id and the moment it started: an id alone may have been given away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) pid: i32,
    started: String,
}

impl Identity {
    /// The identity of a process that runs at present.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        Some(Self { pid, started: start_time(pid)? })
    }

    /// Whether that very process still runs.
    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid).is_some_and(|started| started == self.started)
    }

    /// Sends `signal` if that very process still runs.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.is_alive()
            && let Some(pid) = Pid::from_raw(self.pid)
        {
            // It may have ended since: then there is nothing to signal.
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends `signal`, waits, and kills what does not end in time.
    pub(crate) fn stop(&self, signal: Signal, patience: Duration) {
        self.signal(signal);
        let deadline = Instant::now() + patience;
        while self.is_alive() {
            if Instant::now() > deadline {
                self.signal(Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(10));
            if Instant::now() > deadline + Duration::from_secs(5) {
                return;
            }
        }
    }

    pub(crate) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    pub(crate) fn save(&self, path: &Path) -> Result<(), StackError> {
        let text = serde_json::to_vec(self).expect("two plain fields have a JSON form");
        std::fs::write(path, text).map_err(StackError::file(path))
    }
}

/// When a process started, in a form that tells it from a later one with the same id. `None`
/// if there is none, or only a dead one that nobody has waited for.
fn start_time(pid: i32) -> Option<String> {
    if cfg!(target_os = "linux") {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything: fields count from its end.
        let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
        if matches!(fields.first(), Some(&"Z" | &"X")) {
            return None;
        }
        return fields.get(19).map(ToString::to_string);
    }
    test_kill_process(Pid::from_raw(pid)?).ok()?;
    let ps = Command::new("ps").args(["-o", "lstart=", "-p", &pid.to_string()]).output().ok()?;
    let text = String::from_utf8_lossy(&ps.stdout).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Starts `command` in a process group of its own, its output going to `log`.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Identity, StackError> {
    use std::os::unix::process::CommandExt;

    let output: File =
        OpenOptions::new().create(true).append(true).open(log).map_err(StackError::file(log))?;
    let errors = output.try_clone().map_err(StackError::file(log))?;
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0)
        .spawn()
        .map_err(StackError::run(program.clone()))?;
    let pid = i32::try_from(child.id()).expect("process ids are positive 32-bit numbers");
    let identity = Identity::of(pid);
    // Somebody must wait for it while this process lives, or it stays as a zombie.
    std::thread::spawn(move || child.wait());
    identity.ok_or_else(|| StackError::Run { program, reason: "it ended at once".to_owned() })
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// A server's pid file below `folder`.
pub(crate) fn pid_file(folder: &Path) -> PathBuf {
    folder.join("process.json")
}

/// The id of the process that was started from `folder`, if that very one still runs, and when it was
/// started, in seconds of Unix time.
pub(crate) fn running(folder: &Path) -> Option<(i32, u64)> {
    let file = pid_file(folder);
    let identity = Identity::load(&file).filter(Identity::is_alive)?;
    // The file is written when the process has been started, and never again.
    let written = std::fs::metadata(&file).ok()?.modified().ok()?;
    Some((identity.pid, written.duration_since(UNIX_EPOCH).ok()?.as_secs()))
}

/// A server's log below `folder`.
pub(crate) fn log_file(folder: &Path) -> PathBuf {
    folder.join("log")
}
