//! Services: the programs that run beside the servers, such as the API.

use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::error::StackError;
use crate::ports::require_free;
use crate::process::{Identity, log_file, pid_file, spawn, tail};

/// A program that the stack keeps running in the background.
#[derive(Clone, Debug)]
pub struct Service {
    name: String,
    folder: PathBuf,
}

/// What a start did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// It already ran, from the same program and settings.
    AlreadyRunning,
    /// It was started.
    Started,
    /// It ran from an older program or with other settings, and was started again.
    Restarted,
}

impl fmt::Display for Started {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyRunning => "already running",
            Self::Started => "started",
            Self::Restarted => "restarted (program or settings had changed)",
        })
    }
}

impl Service {
    /// The service `name` of the stack in `state_dir`.
    #[must_use]
    pub fn new(state_dir: &Path, name: &str) -> Self {
        Self { name: name.to_owned(), folder: state_dir.join("services").join(name) }
    }

    /// Every service that was ever started in `state_dir`.
    #[must_use]
    pub fn all(state_dir: &Path) -> Vec<Self> {
        let Ok(entries) = std::fs::read_dir(state_dir.join("services")) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names.iter().map(|name| Self::new(state_dir, name)).collect()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `command` in the background until `ready` answers: an `http://` URL with 200, a `tcp://` one
    /// by taking a connection. `port_variable` is what moves the port of `ready`, for the words about a
    /// taken one.
    ///
    /// If it already runs, from the same program file and settings, nothing happens.
    ///
    /// # Errors
    ///
    /// When the port is taken, it ends, or it does not become ready within a minute; its log's end is in the message.
    pub fn start(
        &self,
        command: &[String],
        ready: &str,
        port_variable: &str,
    ) -> Result<Started, StackError> {
        let (program, arguments) = command.split_first().ok_or_else(|| StackError::Run {
            program: self.name.clone(),
            reason: "no command given".to_owned(),
        })?;
        std::fs::create_dir_all(&self.folder).map_err(StackError::file(&self.folder))?;
        let wanted = self.fingerprint(command)?;
        let noted = self.folder.join("started-from");
        let mut outcome = Started::Started;
        if let Some(identity) = self.identity() {
            if std::fs::read_to_string(&noted).is_ok_and(|from| from == wanted) && answers(ready) {
                return Ok(Started::AlreadyRunning);
            }
            identity.stop(Signal::TERM, Duration::from_secs(15));
            outcome = Started::Restarted;
        }
        if let Some(port) = port_of(ready) {
            require_free(port, &self.name, port_variable)?;
        }
        let mut process = Command::new(program);
        process.args(arguments);
        let log = log_file(&self.folder);
        let identity = spawn(process, &log)?;
        identity.save(&pid_file(&self.folder))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !answers(ready) {
            if !identity.is_alive() || Instant::now() > deadline {
                identity.stop(Signal::TERM, Duration::from_secs(5));
                return Err(StackError::NotReady {
                    server: self.name.clone(),
                    reason: format!("{ready} did not answer"),
                    log: tail(&log, 20),
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        std::fs::write(&noted, wanted).map_err(StackError::file(&noted))?;
        Ok(outcome)
    }

    /// Asks it to end, and does not wait.
    pub fn ask_to_end(&self) {
        if let Some(identity) = self.identity() {
            identity.signal(Signal::TERM);
        }
    }

    /// Asks it to end, waits, and kills it when it does not.
    pub fn stop(&self, patience: Duration) {
        if let Some(identity) = self.identity() {
            identity.stop(Signal::TERM, patience);
        }
        let _ = std::fs::remove_file(pid_file(&self.folder));
    }

    fn identity(&self) -> Option<Identity> {
        Identity::load(&pid_file(&self.folder)).filter(Identity::is_alive)
    }

    /// What a running process must have been started from to be left alone.
    fn fingerprint(&self, command: &[String]) -> Result<String, StackError> {
        let program = Path::new(&command[0]);
        let changed = std::fs::metadata(program)
            .and_then(|meta| meta.modified())
            .map_err(StackError::file(program))?;
        let mut settings: Vec<String> = std::env::vars()
            .filter(|(key, _)| key.starts_with("LARDER__") || key.starts_with("OTEL_"))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        settings.sort();
        // A hash only: settings hold passwords.
        let text = format!("{command:?} {changed:?} {settings:?}");
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Ok(format!("{hash:016x}"))
    }
}

fn port_of(url: &str) -> Option<u16> {
    address(url)?.rsplit(':').next()?.parse().ok()
}

fn address(url: &str) -> Option<&str> {
    url.strip_prefix("http://").or_else(|| url.strip_prefix("tcp://"))?.split('/').next()
}

/// Whether `url` answers, asked with the fewest means: no HTTP client needed for one GET.
fn answers(url: &str) -> bool {
    let ask = || -> Option<bool> {
        let host = address(url)?;
        if url.starts_with("tcp://") {
            return Some(TcpStream::connect(host).is_ok());
        }
        let path = url.strip_prefix("http://")?.strip_prefix(host)?;
        let mut stream = TcpStream::connect(host).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let path = if path.is_empty() { "/" } else { path };
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).ok()?;
        Some(head.ends_with(b" 200"))
    };
    ask().unwrap_or(false)
}
