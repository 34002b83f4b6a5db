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
    /// All parts together.
    #[must_use]
    pub fn total(self) -> f64 {
        self.servers() + self.generator
    }

    /// All but the load generator.
    #[must_use]
    pub fn servers(self) -> f64 {
        self.api + self.postgres + self.redis
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
    root.own + root.waited_for + children(pid).map(|(_, child)| child.own).sum::<f64>()
}

fn children(pid: i32) -> impl Iterator<Item = (i32, Stat)> {
    std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|child| Some((child, stat(child)?)))
        .filter(move |(_, stat)| stat.parent == pid)
}

/// Resident memory of a process in bytes; 0 if it is gone.
#[must_use]
pub fn rss_bytes(pid: i32) -> u64 {
    let [rss] = status(pid, ["VmRSS:"]);
    rss
}

/// Resident memory of a process and its children, in bytes: what each has of its own, and what
/// they share once (as much as the one with the most of it).
#[must_use]
pub fn tree_rss_bytes(pid: i32) -> u64 {
    let pids = children(pid).map(|(child, _)| child).chain([pid]);
    let (mut own, mut shared) = (0, 0);
    for pid in pids {
        let [anonymous, file, shmem] = status(pid, ["RssAnon:", "RssFile:", "RssShmem:"]);
        own += anonymous;
        shared = (file + shmem).max(shared);
    }
    own + shared
}

/// The most resident memory that this process has had, in bytes; none where that is unknown.
#[must_use]
pub fn peak_memory_bytes() -> Option<u64> {
    let own = i32::try_from(std::process::id()).ok()?;
    let [peak] = status(own, ["VmHWM:"]);
    (peak > 0).then_some(peak)
}

/// Sizes in bytes from `/proc/<pid>/status`, by the beginnings of their lines.
fn status<const N: usize>(pid: i32, names: [&str; N]) -> [u64; N] {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    names.map(|name| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name));
        let kilobytes = rest.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse().ok());
        kilobytes.unwrap_or(0_u64) * 1_024
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_is_seen_to_be_busy() {
        let own = i32::try_from(std::process::id()).expect("fits");
        let before = cpu_of(own);
        let began = std::time::Instant::now();
        let mut sum = 0_u64;
        while began.elapsed().as_millis() < 300 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let used = cpu_of(own) - before;
        // Another process may have had the core for a part of it.
        assert!((0.02..1.5).contains(&used), "{used}");
        assert!(rss_bytes(own) > 1_000_000);
        assert_eq!(cpu_of(-1), 0.0);
    }
}
