//! Processor time and memory of processes, from `/proc`.

/// Processor seconds by part of the system.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Cpu {
    /// The API.
    pub api: f64,
    /// Postgres with all its backends.
    pub postgres: f64,
    /// All Redis nodes.
    pub redis: f64,
    /// The load generator: this process.
    pub generator: f64,
}

impl Cpu {
    /// What was used since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            api: self.api - earlier.api,
            postgres: self.postgres - earlier.postgres,
            redis: self.redis - earlier.redis,
            generator: self.generator - earlier.generator,
        }
    }

    /// All parts together.
    #[must_use]
    pub fn total(self) -> f64 {
        self.api + self.postgres + self.redis + self.generator
    }
}

/// Linux counts in hundredths of a second on every platform that matters here.
const TICKS: f64 = 100.0;

struct Stat {
    parent: i32,
    own: f64,
    waited_for: f64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    // proc(5): fields 4 (ppid), 14 to 17 (utime, stime, cutime, cstime); these begin at 3.
    let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    Some(Stat {
        parent: number(4)? as i32,
        own: (number(14)? + number(15)?) / TICKS,
        waited_for: (number(16)? + number(17)?) / TICKS,
    })
}

/// Processor seconds of one process; 0 if it is gone.
#[must_use]
pub fn cpu_of(pid: i32) -> f64 {
    stat(pid).map_or(0.0, |stat| stat.own)
}

/// Processor seconds of a process, of its children, and of those it has waited for.
#[must_use]
pub fn cpu_of_tree(pid: i32) -> f64 {
    let Some(root) = stat(pid) else { return 0.0 };
    let Ok(entries) = std::fs::read_dir("/proc") else { return root.own };
    let children = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(stat)
        .filter(|stat| stat.parent == pid);
    root.own + root.waited_for + children.map(|child| child.own).sum::<f64>()
}

/// Resident memory of a process in bytes; 0 if it is gone.
#[must_use]
pub fn rss_bytes(pid: i32) -> u64 {
    memory(&pid.to_string(), "VmRSS:").unwrap_or(0)
}

/// The most resident memory that this process has had, in bytes; none where that is unknown.
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    memory("self", "VmHWM:")
}

fn memory(process: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let value = text.lines().find_map(|line| line.strip_prefix(field))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1_024)
}
