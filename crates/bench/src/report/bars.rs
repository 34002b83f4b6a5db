//! Bars as SVG.

use maud::{Markup, html};

use crate::measure::Interval;

const WIDTH: f64 = 720.0;
const ROW: f64 = 26.0;
const TOP: f64 = 10.0;

/// Bars below one another, from zero.
pub(crate) struct Bars {
    /// Space left for labels.
    pub(crate) left: f64,
    /// Space left for figures.
    pub(crate) right: f64,
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
pub(crate) struct Bar {
    pub(crate) label: String,
    /// Drawn strongly …
    pub(crate) value: f64,
    /// … and, after it, faintly.
    pub(crate) rest: Option<f64>,
    /// Drawn as a line over it: from where to where the value may be.
    pub(crate) interval: Option<(f64, f64)>,
    /// Drawn as a mark: what no value can be below. And what is said of it, if anything is.
    pub(crate) floor: Option<(f64, Option<String>)>,
    /// The figure beside it.
    pub(crate) figure: String,
}

impl Bar {
    /// How far to the right anything of it is drawn.
    fn end(&self) -> f64 {
        let whole = self.value + self.rest.unwrap_or(0.0);
        self.interval.map_or(whole, |(_, high)| whole.max(high))
    }
}

impl Bars {
    /// The picture's `viewBox`.
    pub(crate) fn view_box(&self) -> String {
        format!("0 0 {WIDTH} {}", TOP * 2.0 + ROW * self.bars.len() as f64)
    }

    /// What is in the picture.
    pub(crate) fn drawn(&self) -> Markup {
        let ends = self.bars.iter().map(|bar| {
            let floor = bar.floor.as_ref().map_or(0.0, |(floor, _)| *floor);
            bar.end().max(floor)
        });
        let most = ends.fold(0.0, f64::max);
        let most = if most > 0.0 { most } else { 1.0 };
        html! {
            @for (number, bar) in self.bars.iter().enumerate() {
                (self.row(bar, TOP + ROW * number as f64, most))
            }
        }
    }

    fn row(&self, bar: &Bar, y: f64, most: f64) -> Markup {
        let left = self.left;
        let length = |value: f64| (WIDTH - left - self.right) * value / most;
        let written = |place: f64| format!("{place:.1}");
        let (line, text) = (y + ROW / 2.0, y + ROW / 2.0 + 4.0);
        html! {
            text x=(left - 8.0) y=(text) text-anchor="end" { (bar.label) }
            rect class="bar" x=(left) y=(y + 4.0) height=(ROW - 8.0) width=(written(length(bar.value))) {}
            @if let Some(rest) = bar.rest {
                rect class="rest" x=(written(left + length(bar.value))) y=(y + 4.0)
                    height=(ROW - 8.0) width=(written(length(rest))) {}
            }
            @if let Some((low, high)) = bar.interval {
                line class="interval" x1=(written(left + length(low))) x2=(written(left + length(high)))
                    y1=(line) y2=(line) {}
            }
            @if let Some((floor, said)) = &bar.floor {
                @let x = written(left + length(*floor));
                line class="floor" x1=(x) x2=(x) y1=(y + 1.0) y2=(y + ROW - 1.0) {
                    @if let Some(said) = said { title { (said) } }
                }
            }
            text x=(written(left + length(bar.end()) + 8.0)) y=(text) { (bar.figure) }
        }
    }
}

/// A median with its interval, as a bar with a line over it; `shown` writes a value.
pub(super) fn bar(
    label: String,
    value: Interval,
    floor: Option<f64>,
    shown: impl Fn(f64) -> String,
) -> Bar {
    Bar {
        label,
        value: value.median,
        rest: None,
        interval: Some((value.low, value.high)),
        floor: floor.map(|floor| (floor, Some(format!("floor: {}", shown(floor))))),
        figure: shown(value.median),
    }
}

/// A picture in the page.
pub(super) fn figure(title: &str, bars: Vec<Bar>) -> Markup {
    let bars = Bars { left: 250.0, right: 130.0, bars };
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(bars.view_box()) role="img" aria-label=(title) { (bars.drawn()) }
        }
    }
}
