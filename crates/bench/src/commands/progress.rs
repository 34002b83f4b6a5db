//! What a person at a terminal sees while it runs.

use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// How often the clock on it moves.
const TICK: Duration = Duration::from_millis(500);

/// A bar below the lines of what has been found, where standard error is a terminal; elsewhere the
/// lines alone.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Shows how many of `steps` are done.
    pub(super) fn begin(&mut self, name: &str, steps: usize, what: &str) {
        self.say(&format!("{name}: {steps} {what} …"));
        let bar = ProgressBar::new(steps as u64);
        let style = "[{elapsed_precise}] {bar:30} {pos}/{len}, {eta} left  {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        self.bar = Some(bar);
    }

    /// Shows what is being done.
    pub(super) fn on(&self, what: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(what.to_owned());
        }
    }

    /// One step is done.
    pub(super) fn step(&self) {
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Does `work`, and shows meanwhile how many steps `done` says that are done.
    pub(super) async fn while_doing<T>(
        &self,
        done: &AtomicUsize,
        work: impl Future<Output = T>,
    ) -> T {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                ended = &mut work => return ended,
                () = tokio::time::sleep(TICK) => {
                    if let Some(bar) = &self.bar {
                        let done = done.load(Ordering::Relaxed) as u64;
                        bar.set_position(done.min(bar.length().unwrap_or(done)));
                    }
                }
            }
        }
    }

    /// A line that stays.
    pub(super) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// All is done.
    pub(super) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
