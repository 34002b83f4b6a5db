//! Bars as an SVG that stands alone.

use maud::{PreEscaped, html};

use super::figures::grouped;

const WIDTH: f64 = 720.0;
/// Space left for labels and for figures.
const LEFT: f64 = 210.0;
const RIGHT: f64 = 80.0;
const ROW: f64 = 26.0;
const TOP: f64 = 10.0;
/// It is shown on light ground and on dark.
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #777; } .rest { fill: #8885; } \
                     .bar { fill: #2e86ab; } .floor { stroke: #d1495b; stroke-width: 2; }";

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    /// Drawn strongly …
    pub(super) value: u64,
    /// … and, after it, faintly.
    pub(super) rest: u64,
    /// Drawn as a mark: what the strong part cannot be below.
    pub(super) floor: Option<u64>,
}

/// Bars below one another, from zero; the figure beside each is that of its whole length.
pub(super) fn bars(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value + bar.rest).max().unwrap_or(0).max(1) as f64;
    let length = |value: u64| (WIDTH - LEFT - RIGHT) * value as f64 / most;
    let shown = |length: f64| format!("{length:.1}");
    let height = TOP * 2.0 + ROW * bars.len() as f64;
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {WIDTH} {height}"))
            role="img" aria-label=(title) {
            style { (PreEscaped(STYLE)) }
            @for (number, bar) in bars.iter().enumerate() {
                @let y = TOP + ROW * number as f64;
                @let middle = y + ROW / 2.0 + 4.0;
                @let end = LEFT + length(bar.value + bar.rest);
                text x=(LEFT - 8.0) y=(middle) text-anchor="end" { (bar.label) }
                rect class="bar" x=(LEFT) y=(y + 4.0) height=(ROW - 8.0)
                    width=(shown(length(bar.value))) {}
                rect class="rest" x=(shown(LEFT + length(bar.value))) y=(y + 4.0)
                    height=(ROW - 8.0) width=(shown(length(bar.rest))) {}
                @if let Some(floor) = bar.floor {
                    @let x = shown(LEFT + length(floor));
                    line class="floor" x1=(x) x2=(x) y1=(y + 1.0) y2=(y + ROW - 1.0) {}
                }
                text x=(shown(end + 8.0)) y=(middle) { (grouped(bar.value + bar.rest)) }
            }
        }
    };
    picture.into_string() + "\n"
}
