//! Curves as SVG.

use maud::{Markup, html};

use crate::measure::Interval;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 380.0;
/// Space left for labels: left, bottom, and the other two sides.
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 48.0;
const EDGE: f64 = 16.0;
/// Height of a name.
const NAME: f64 = 18.0;
/// Names that have room among the curves; more of them are below. So many colours there are, too:
/// curves beyond them are dashed.
const NAMES_INSIDE: usize = 6;

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

    /// The same to a tenth of a unit, as it is written down.
    fn at(&self, value: f64) -> String {
        format!("{:.1}", self.place(value))
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

/// A curve: its name and its points.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<Mark>,
}

/// A point of a curve, and what is said of it.
pub(crate) struct Mark {
    x: f64,
    y: f64,
    /// From where to where each may be; nothing is drawn where that is one place.
    x_range: (f64, f64),
    y_range: (f64, f64),
    said: String,
}

impl Mark {
    /// A point that has no interval.
    pub(crate) const fn at(x: f64, y: f64, said: String) -> Self {
        Self { x, y, x_range: (x, x), y_range: (y, y), said }
    }

    /// The point of both medians, with the intervals as lines.
    pub(crate) const fn between(x: Interval, y: Interval, said: String) -> Self {
        let (x_range, y_range) = ((x.low, x.high), (y.low, y.high));
        Self { x: x.median, y: y.median, x_range, y_range, said }
    }
}

/// Where the names of the curves are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Legend {
    /// Below the picture: curves may be anywhere in it.
    Below,
    /// At the right, where no curve is; below if there are many.
    Right,
}

/// A point of a curve of response times.
pub(super) struct Point {
    /// Which curve.
    pub(super) series: String,
    /// Requests answered per second.
    pub(super) x: Interval,
    /// What is shown upwards, in milliseconds.
    pub(super) y: Interval,
    /// Its place among the points of its curve.
    pub(super) order: f64,
}

/// One curve per series: throughput to the right, milliseconds upwards.
pub(super) fn curves(points: &[Point], title: &str) -> Markup {
    let mut names: Vec<&str> = Vec::new();
    for point in points {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    let series = names.iter().map(|name| {
        let mut own: Vec<&Point> = points.iter().filter(|point| point.series == *name).collect();
        own.sort_by(|a, b| a.order.total_cmp(&b.order));
        let said = |point: &Point| {
            let Interval { median, low, high, .. } = point.y;
            format!(
                "{name}: {:.0} requests/s, {median:.2} ms ({low:.2} to {high:.2})",
                point.x.median
            )
        };
        let points = own.into_iter().map(|point| Mark::between(point.x, point.y, said(point)));
        Series { name: (*name).to_owned(), points: points.collect() }
    });
    let series: Vec<Series> = series.collect();
    lines(&series, "requests answered per second", title, Legend::Below)
}

/// Curves over two logarithmic axes.
pub(crate) fn lines(series: &[Series], x_title: &str, y_title: &str, legend: Legend) -> Markup {
    let points = || series.iter().flat_map(|series| &series.points);
    let x = Axis::over(points().flat_map(|p| [p.x_range.0, p.x_range.1]), LEFT, WIDTH - EDGE);
    let y = Axis::over(points().flat_map(|p| [p.y_range.0, p.y_range.1]), HEIGHT - BOTTOM, EDGE);
    let is_below = legend == Legend::Below || series.len() > NAMES_INSIDE;
    let (legend, anchor) =
        if is_below { (LEFT + 12.0, "start") } else { (WIDTH - EDGE - 12.0, "end") };
    let (first_name, height) = if is_below {
        (HEIGHT + NAME, HEIGHT + NAME * (series.len() + 1) as f64)
    } else {
        (EDGE + 16.0, HEIGHT)
    };
    html! {
        figure {
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
                aria-label=(format!("{y_title} against {x_title}")) {
                @for tick in x.ticks() {
                    line.grid x1=(x.at(tick)) x2=(x.at(tick)) y1=(EDGE) y2=(HEIGHT - BOTTOM) {}
                    text.tick x=(x.at(tick)) y=(HEIGHT - BOTTOM + 18.0) text-anchor="middle" { (tick) }
                }
                @for tick in y.ticks() {
                    line.grid x1=(LEFT) x2=(WIDTH - EDGE) y1=(y.at(tick)) y2=(y.at(tick)) {}
                    text.tick x=(LEFT - 8.0) y=(format!("{:.1}", y.place(tick) + 4.0)) text-anchor="end" { (tick) }
                }
                text.axis x=((LEFT + WIDTH) / 2.0) y=(HEIGHT - 8.0) text-anchor="middle" { (x_title) }
                text.axis x="14" y=(HEIGHT / 2.0) text-anchor="middle"
                    transform=(format!("rotate(-90 14 {})", HEIGHT / 2.0)) { (y_title) }
                @for (number, series) in series.iter().enumerate() {
                    @let dashed = if number < NAMES_INSIDE { "" } else { " dashed" };
                    g class=(format!("series s{}{dashed}", number % NAMES_INSIDE)) {
                        polyline points=(path(series, &x, &y)) {}
                        @for point in &series.points { (mark(point, &x, &y)) }
                        text x=(legend) y=(first_name + NAME * number as f64)
                            text-anchor=(anchor) { "● " (series.name) }
                    }
                }
            }
        }
    }
}

fn mark(point: &Mark, x: &Axis, y: &Axis) -> Markup {
    let Mark { x_range, y_range, said, .. } = point;
    let (right, up) = (x.at(point.x), y.at(point.y));
    html! {
        @if x_range.0 < x_range.1 {
            line x1=(x.at(x_range.0)) x2=(x.at(x_range.1)) y1=(up) y2=(up) {}
        }
        @if y_range.0 < y_range.1 {
            line x1=(right) x2=(right) y1=(y.at(y_range.0)) y2=(y.at(y_range.1)) {}
        }
        circle cx=(right) cy=(up) r="4" { title { (said) } }
    }
}

fn path(series: &Series, x: &Axis, y: &Axis) -> String {
    let place = |point: &Mark| format!("{},{}", x.at(point.x), y.at(point.y));
    series.points.iter().map(place).collect::<Vec<_>>().join(" ")
}
