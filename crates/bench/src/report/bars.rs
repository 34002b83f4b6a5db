//! Bars with their intervals as SVG.

use maud::{Markup, html};

use crate::measure::Interval;

const WIDTH: f64 = 720.0;
/// Space left for labels and for figures.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 130.0;
const ROW: f64 = 26.0;
const TOP: f64 = 8.0;

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: Interval,
    /// Drawn as a mark on the bar: what no bar can be below.
    pub(super) floor: Option<f64>,
}

/// Bars below one another from zero, each with its interval as a line. `shown` writes a value.
pub(super) fn bars(title: &str, bars: &[Bar], shown: impl Fn(f64) -> String) -> Markup {
    let most = bars.iter().flat_map(|bar| [bar.value.high, bar.floor.unwrap_or(0.0)]);
    let most = most.fold(0.0, f64::max).max(1e-9);
    let place = |value: f64| LEFT + (WIDTH - LEFT - RIGHT) * (value / most).clamp(0.0, 1.0);
    let height = TOP * 2.0 + ROW * bars.len() as f64;
    html! {
        figure {
            figcaption { (title) }
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(title) {
                @for (number, bar) in bars.iter().enumerate() {
                    @let y = TOP + ROW * number as f64;
                    @let middle = y + ROW / 2.0;
                    text x=(LEFT - 8.0) y=(middle + 4.0) text-anchor="end" { (bar.label) }
                    rect.bar x=(LEFT) y=(y + 4.0) height=(ROW - 8.0)
                        width=(format!("{:.1}", place(bar.value.median) - LEFT)) {}
                    line.interval x1=(format!("{:.1}", place(bar.value.low)))
                        x2=(format!("{:.1}", place(bar.value.high))) y1=(middle) y2=(middle) {}
                    @if let Some(floor) = bar.floor {
                        line.floor x1=(format!("{:.1}", place(floor))) y1=(y + 1.0)
                            x2=(format!("{:.1}", place(floor))) y2=(y + ROW - 1.0) {
                            title { "floor: " (shown(floor)) }
                        }
                    }
                    text x=(format!("{:.1}", place(bar.value.high) + 8.0)) y=(middle + 4.0) {
                        (shown(bar.value.median))
                    }
                }
            }
        }
    }
}
