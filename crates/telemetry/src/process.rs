//! What the process uses, by OpenTelemetry's semantic conventions. From `/proc`: on Linux alone.

use std::fs;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;
use opentelemetry_semantic_conventions::{attribute, metric};

use crate::runtime::gauge;

/// Every metric reads `/proc` when it is asked for, and is left out where that cannot be read.
pub(crate) fn register(meter: &Meter) {
    meter
        .f64_observable_counter(metric::PROCESS_CPU_TIME)
        .with_unit("s")
        .with_description("CPU time of the process")
        .with_callback(|seconds| {
            if let Some(now) = Usage::now() {
                for (mode, ticks) in [("user", now.user_ticks), ("system", now.system_ticks)] {
                    let value = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
                    seconds.observe(value, &[KeyValue::new(attribute::CPU_MODE, mode)]);
                }
            }
        })
        .build();
    gauge(meter, metric::PROCESS_MEMORY_USAGE, "By", "Memory that is resident", || {
        Some(Usage::now()?.resident_pages * rustix::param::page_size() as u64)
    });
    gauge(meter, metric::PROCESS_MEMORY_VIRTUAL, "By", "Virtual memory", || {
        Some(Usage::now()?.virtual_bytes)
    });
    gauge(meter, metric::PROCESS_THREAD_COUNT, "{thread}", "Threads", || {
        Some(Usage::now()?.threads)
    });
    let name = metric::PROCESS_UNIX_FILE_DESCRIPTOR_COUNT;
    gauge(meter, name, "{file_descriptor}", "Open files, sockets among them", || {
        // Linux 6.2 and newer tell how many these are as the folder's size; an older one tells 0.
        let told = fs::metadata("/proc/self/fd").ok()?.len();
        if told > 0 {
            return Some(told);
        }
        let open = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        // One is the folder that is being read.
        Some(open.saturating_sub(1))
    });
}

/// Some of `/proc/self/stat`.
#[derive(Debug, PartialEq)]
struct Usage {
    user_ticks: u64,
    system_ticks: u64,
    threads: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Usage {
    fn now() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses, and may hold anything.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // Counted from 1, as proc_pid_stat(5) does.
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self {
            user_ticks: field(14)?,
            system_ticks: field(15)?,
            threads: field(20)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::Registry;

    use super::*;
    use crate::Readings;

    #[test]
    fn a_name_with_parentheses_and_spaces_hides_nothing() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 90 0 0 0 31 12 0 0 20 0 5 0 99 8192 3 1844";
        let expected = Usage {
            user_ticks: 31,
            system_ticks: 12,
            threads: 5,
            virtual_bytes: 8192,
            resident_pages: 3,
        };
        assert_eq!(Usage::parse(stat), Some(expected));
        assert_eq!(Usage::parse("7 (a) S 1"), None);
        assert_eq!(Usage::parse(""), None);
    }

    #[test]
    fn what_the_process_uses_is_told() {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter().with_registry(registry.clone()).build();
        let meters = SdkMeterProvider::builder().with_reader(reader.expect("a reader")).build();
        register(&meters.meter("test"));
        let read = |name: &str| Readings::of(&registry).sum(name, |_| true);
        let mode = |mode| {
            let of = Readings::of(&registry);
            of.sum("process_cpu_time_seconds_total", |labels| labels.get("cpu_mode") == mode)
        };

        let memory = read("process_memory_usage_bytes");
        assert!(memory > f64::from(1 << 20), "{memory}");
        let room = black_box(vec![1_u8; 64 << 20]);
        let more = read("process_memory_usage_bytes");
        assert!(more > f64::from(64 << 20), "{more}");
        assert!(read("process_memory_virtual_bytes") >= more);
        drop(room);

        let files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").expect("opens")).collect();
        let open = read("process_unix_file_descriptor_count");
        assert!(open >= files.len() as f64, "{open}");

        let (ended, wait) = mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || wait.recv());
        let threads = read("process_thread_count");
        assert!(threads >= 2.0, "{threads}");
        drop(ended);
        assert!(waiting.join().expect("ends").is_err());

        let before = mode("user");
        let deadline = Instant::now() + Duration::from_secs(60);
        while mode("user") < before + 0.1 {
            assert!(Instant::now() < deadline, "work costs no time");
            black_box((0..1_000_000_u64).fold(0, |sum, n| black_box(sum ^ n)));
        }
        assert!(mode("system") >= 0.0);
    }
}
