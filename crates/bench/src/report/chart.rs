//! Curves as SVG.

use maud::{Markup, html};

use crate::results::Run;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Space left for labels: left, bottom, and the other two sides.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 48.0;
const EDGE: f64 = 16.0;

/// A logarithmic axis from `low` to `high`, drawn from `start` to `end`.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone, start: f64, end: f64) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min).max(1e-3);
        let high = values.fold(1e-3, f64::max);
        Self { low: low / 1.5, high: high * 1.5, start, end }
    }

    fn place(&self, value: f64) -> f64 {
        let part = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.start + part * (self.end - self.start)
    }

    /// 1, 2 and 5 of each power of ten within.
    fn ticks(&self) -> Vec<f64> {
        let first = self.low.log10().floor() as i32;
        let last = self.high.log10().ceil() as i32;
        (first..=last)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10_f64.powi(power)))
            .filter(|value| (self.low..=self.high).contains(value))
            .collect()
    }
}

/// One curve per strategy: throughput to the right, `value` upwards.
pub(super) fn curves(runs: &[&Run], title: &str, value: impl Fn(&Run) -> f64) -> Markup {
    let x = Axis::over(runs.iter().map(|run| run.achieved_rps), LEFT, WIDTH - EDGE);
    let y = Axis::over(runs.iter().map(|run| value(run)), HEIGHT - BOTTOM, EDGE);
    let mut names: Vec<&str> = Vec::new();
    for run in runs {
        if !names.contains(&run.strategy.as_str()) {
            names.push(&run.strategy);
        }
    }
    let series = names.iter().enumerate().map(|(number, name)| {
        let mut points: Vec<(f64, f64, &Run)> = runs
            .iter()
            .filter(|run| run.strategy == *name)
            .map(|run| (x.place(run.achieved_rps), y.place(value(run)), *run))
            .collect();
        points.sort_by(|a, b| {
            let offered = |run: &Run| run.offered_rps.unwrap_or(run.achieved_rps);
            offered(a.2).total_cmp(&offered(b.2))
        });
        (number, *name, points)
    });
    html! {
        figure {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("{title} against throughput, by strategy")) {
                @for tick in x.ticks() {
                    line.grid x1=(x.place(tick)) x2=(x.place(tick)) y1=(EDGE) y2=(HEIGHT - BOTTOM) {}
                    text.tick x=(x.place(tick)) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (tick) }
                }
                @for tick in y.ticks() {
                    line.grid x1=(LEFT) x2=(WIDTH - EDGE) y1=(y.place(tick)) y2=(y.place(tick)) {}
                    text.tick x=(LEFT - 8.0) y=(y.place(tick) + 4.0) text-anchor="end" { (tick) }
                }
                text.axis x=((LEFT + WIDTH) / 2.0) y=(HEIGHT - 8.0) text-anchor="middle" {
                    "requests answered per second"
                }
                text.axis x="14" y=(HEIGHT / 2.0) text-anchor="middle"
                    transform=(format!("rotate(-90 14 {})", HEIGHT / 2.0)) { (title) }
                @for (number, name, points) in series {
                    g class=(format!("series s{}", number % 6)) {
                        polyline points=(path(&points)) {}
                        @for (px, py, run) in &points {
                            circle cx=(px) cy=(py) r="4" {
                                title { (name) ": " (format!("{:.0}", run.achieved_rps)) " requests/s, "
                                        (format!("{:.2} ms", value(run))) }
                            }
                        }
                        text x=(LEFT + 12.0) y=(EDGE + 16.0 + 18.0 * number as f64) { "● " (name) }
                    }
                }
            }
        }
    }
}

fn path(points: &[(f64, f64, &Run)]) -> String {
    points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}
