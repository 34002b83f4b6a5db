//! Bars as an SVG that stands alone.

use maud::{PreEscaped, html};

use super::figures::grouped;
use crate::report::bars::{Bar, Bars};

/// It is shown on light ground and on dark.
const STYLE: &str = "text { font: 12px system-ui, sans-serif; fill: #777; } .rest { fill: #8885; } \
                     .bar { fill: #2e86ab; } .floor { stroke: #d1495b; stroke-width: 2; }";

/// A bar of counts: `value` strongly, `rest` faintly after it, and what the strong part cannot be below. The
/// figure beside it is that of its whole length.
pub(super) fn bar(label: String, value: u64, rest: u64, floor: Option<u64>) -> Bar {
    Bar {
        label,
        value: value as f64,
        rest: Some(rest as f64),
        interval: None,
        floor: floor.map(|floor| (floor as f64, None)),
        figure: grouped(value + rest),
    }
}

/// Bars below one another.
pub(super) fn picture(title: &str, bars: Vec<Bar>) -> String {
    let bars = Bars { left: 210.0, right: 80.0, bars };
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(bars.view_box()) role="img" aria-label=(title) {
            style { (PreEscaped(STYLE)) }
            (bars.drawn())
        }
    };
    picture.into_string() + "\n"
}
