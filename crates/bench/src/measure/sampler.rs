//! What each process used while a load ran: processor time, and memory at its highest.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::process::{cpu_of, cpu_of_tree, rss_bytes, tree_rss_bytes};

/// How often memory is looked at. Too low: a short peak is missed; too high: looking costs
/// processor time that is measured.
const INTERVAL: Duration = Duration::from_millis(250);

/// A process to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// `api-0`, `postgres`, `redis-17000`, `generator`.
    pub name: String,
    /// Its process id.
    pub pid: i32,
}

/// What one process used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// `api-0`, `postgres` (with all its backends), `redis-17000`, `generator`.
    pub name: String,
    /// Processor seconds.
    pub cpu_seconds: f64,
    /// Resident memory at its highest, looked at four times a second. Of Postgres: memory of the
    /// backends' own, and what they share once.
    pub peak_rss_bytes: u64,
}

/// Watches processes until it is asked what they used.
#[derive(Debug)]
pub struct Sampler {
    began: Vec<(Watched, f64)>,
    stop: Arc<AtomicBool>,
    peaks: JoinHandle<Vec<u64>>,
}

impl Sampler {
    /// Begins to watch.
    #[must_use]
    pub fn start(watched: Vec<Watched>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let began = watched.iter().map(|one| (one.clone(), cpu(one))).collect();
        let stopped = Arc::clone(&stop);
        let peaks = std::thread::spawn(move || {
            let mut peaks = vec![0; watched.len()];
            loop {
                for (peak, one) in peaks.iter_mut().zip(&watched) {
                    *peak = memory(one).max(*peak);
                }
                if stopped.load(Ordering::Relaxed) {
                    return peaks;
                }
                std::thread::park_timeout(INTERVAL);
            }
        });
        Self { began, stop, peaks }
    }

    /// What each process used since the start, in the order given.
    #[must_use]
    pub fn stop(self) -> Vec<ProcessUse> {
        let used: Vec<f64> =
            self.began.iter().map(|(one, began)| (cpu(one) - began).max(0.0)).collect();
        self.stop.store(true, Ordering::Relaxed);
        self.peaks.thread().unpark();
        let peaks = self.peaks.join().unwrap_or_else(|_panicked| vec![0; used.len()]);
        let named = self.began.into_iter().map(|(one, _)| one.name);
        named
            .zip(used)
            .zip(peaks)
            .map(|((name, cpu_seconds), peak_rss_bytes)| ProcessUse {
                name,
                cpu_seconds,
                peak_rss_bytes,
            })
            .collect()
    }
}

fn cpu(one: &Watched) -> f64 {
    if one.name == "postgres" { cpu_of_tree(one.pid) } else { cpu_of(one.pid) }
}

fn memory(one: &Watched) -> u64 {
    if one.name == "postgres" { tree_rss_bytes(one.pid) } else { rss_bytes(one.pid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_seen_though_it_is_over_at_the_end() {
        let pid = i32::try_from(std::process::id()).expect("fits");
        let sampler = Sampler::start(vec![
            Watched { name: "generator".into(), pid },
            Watched { name: "gone".into(), pid: -1 },
        ]);
        let large = 96 << 20;
        let bytes = std::hint::black_box(vec![1_u8; large]);
        std::thread::sleep(INTERVAL * 3);
        drop(std::hint::black_box(bytes));
        let [own, gone] = &sampler.stop()[..] else { panic!("two were watched") };
        assert!(own.peak_rss_bytes as usize > large, "{own:?}");
        assert_eq!((gone.cpu_seconds, gone.peak_rss_bytes), (0.0, 0));
    }
}
