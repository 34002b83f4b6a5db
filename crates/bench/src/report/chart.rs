//! Curves as SVG.

use maud::{Markup, html};

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

/// A point of a curve.
pub(super) struct Point {
    /// Which curve.
    pub(super) series: String,
    /// Requests answered per second.
    pub(super) x: f64,
    /// What is shown upwards.
    pub(super) y: f64,
    /// Its place among the points of its curve.
    pub(super) order: f64,
}

/// One curve per series: throughput to the right, `title` upwards.
pub(super) fn curves(points: &[Point], title: &str) -> Markup {
    let x = Axis::over(points.iter().map(|point| point.x), LEFT, WIDTH - EDGE);
    let y = Axis::over(points.iter().map(|point| point.y), HEIGHT - BOTTOM, EDGE);
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    let series = names.iter().enumerate().map(|(number, name)| {
        let mut own: Vec<&Point> = points.iter().filter(|point| point.series == *name).collect();
        own.sort_by(|a, b| a.order.total_cmp(&b.order));
        let placed: Vec<(f64, f64, &Point)> =
            own.into_iter().map(|point| (x.place(point.x), y.place(point.y), point)).collect();
        (number, *name, placed)
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
                @for (number, name, placed) in series {
                    g class=(format!("series s{}", number % 6)) {
                        polyline points=(path(&placed)) {}
                        @for (px, py, point) in &placed {
                            circle cx=(px) cy=(py) r="4" {
                                title { (name) ": " (format!("{:.0}", point.x)) " requests/s, "
                                        (format!("{:.2} ms", point.y)) }
                            }
                        }
                        text x=(LEFT + 12.0) y=(EDGE + 16.0 + 18.0 * number as f64) { "● " (name) }
                    }
                }
            }
        }
    }
}

fn path(points: &[(f64, f64, &Point)]) -> String {
    points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect::<Vec<_>>().join(" ")
}
