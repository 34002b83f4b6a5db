// Lines over time, drawn as SVG.

const MARGIN = { top: 30, right: 12, bottom: 24, left: 46 };
const LINE_HEIGHT = 16;
// Switches that were made together are one mark.
const TOGETHER_MS = 3000;

function shape(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// The smallest round number that is not below `value`, and how many steps it has.
function ceiling(value) {
  if (!(value > 0)) return { top: 1, steps: 2 };
  const power = 10 ** Math.floor(Math.log10(value));
  for (const [factor, steps] of [[1, 5], [1.5, 3], [2, 4], [2.5, 5], [3, 3], [4, 4], [5, 5], [7.5, 3], [10, 5]]) {
    if (factor * power >= value) return { top: factor * power, steps };
  }
  return { top: 10 * power, steps: 5 };
}

// Values from well below a millisecond to seconds: each step is ten times the one before.
function decades(values) {
  const there = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(Math.min(1, ...there)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(1, ...there))));
  const bottom = 10 ** low;
  return {
    ticks: Array.from({ length: high - low + 1 }, (_, step) => 10 ** (low + step)),
    part: (value) => Math.log10(Math.max(value, bottom) / bottom) / (high - low),
  };
}

function linear({ top, steps }) {
  return {
    ticks: Array.from({ length: steps + 1 }, (_, step) => (top * step) / steps),
    part: (value) => value / top,
  };
}

// How much time is shown: as much as there is, in steps, so that the scale moves seldom.
function span(points, width) {
  const most = width < 480 ? 120_000 : 300_000;
  const there = points.at(-1).at_ms - points[0].at_ms;
  return Math.min(most, Math.max(60_000, 20_000 * Math.ceil(there / 20_000)));
}

export function ago(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  return seconds % 60 === 0 ? `${seconds / 60} min` : `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

export class Chart {
  // `lines`: [{ label, value(point) }], the first and second in their colours; `format` writes a value;
  // `least`: the scale's end at least; `fixed`: that end, where it is always the same; `logarithmic`: whether equal steps are equal
  // factors; `filled`: whether what lies below the second line, and between the two, is filled.
  constructor(svg, { lines, format, least = 0, fixed, logarithmic, filled }) {
    Object.assign(this, { svg, lines, format, least, fixed, logarithmic, filled, points: [], marks: [], pointer: null });
    svg.addEventListener("pointermove", (event) => this.point(event.offsetX));
    svg.addEventListener("pointerleave", () => this.point(null));
    new ResizeObserver(() => this.draw()).observe(svg);
  }

  show(points, marks = []) {
    Object.assign(this, { points, marks });
    this.draw();
  }

  point(x) {
    this.pointer = x;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.svg;
    if (this.points.length === 0 || width === 0) return;
    const length = span(this.points, width);
    const end = this.points.at(-1).at_ms;
    const shown = this.points.filter((point) => point.at_ms >= end - length);
    const values = this.lines.flatMap((line) => shown.map(line.value)).filter((value) => value !== null);
    const { ticks, part } = this.logarithmic
      ? decades(values)
      : linear(this.fixed ?? ceiling(Math.max(this.least, ...values)));
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const scale = {
      x: (at) => MARGIN.left + ((at - end + length) / length) * inner.width,
      y: (value) => MARGIN.top + (1 - part(value)) * inner.height,
    };
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren(
      ...this.axes(scale, { ticks, length, width, height }),
      ...(this.filled ? this.areas(shown, scale) : []),
      ...this.marked(end - length, scale, width, height),
      ...this.lines.flatMap((line, index) => this.line(shown, line, index, scale)),
      ...this.crossing(shown, scale, width, height),
    );
  }

  axes(scale, { ticks, length, width, height }) {
    const drawn = [];
    for (const value of ticks) {
      const y = scale.y(value);
      drawn.push(shape("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }));
      // Low pictures have room for the ends alone.
      if (height > 160 || value === ticks[0] || value === ticks.at(-1)) {
        drawn.push(shape("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, this.format(value)));
      }
    }
    const parts = width < 480 ? 2 : 4;
    for (let part = 0; part <= parts; part += 1) {
      const back = (length * (parts - part)) / parts;
      const x = MARGIN.left + ((width - MARGIN.left - MARGIN.right) * part) / parts;
      const anchor = part === 0 ? "start" : part === parts ? "end" : "middle";
      const text = back === 0 ? "now" : `${ago(back)} ago`;
      drawn.push(shape("text", { x, y: height - 4, "text-anchor": anchor }, text));
    }
    return drawn;
  }

  areas(shown, scale) {
    const [first, second] = this.lines;
    const along = (points, value) => points.map((point) => `${scale.x(point.at_ms)},${scale.y(value(point))}`);
    const back = [...shown].reverse();
    const below = [...along(shown, second.value), ...along(back, () => 0)];
    const between = [...along(shown, first.value), ...along(back, (point) => Math.min(first.value(point), second.value(point)))];
    return [
      shape("polygon", { class: "between", points: between.join(" ") }),
      shape("polygon", { class: "below", points: below.join(" ") }),
    ];
  }

  line(shown, { value }, index, scale) {
    const colour = ["one", "two"][index];
    let path = "";
    let pen = "M";
    let last = null;
    for (const point of shown) {
      const at = value(point);
      if (at === null) {
        pen = "M";
        continue;
      }
      last = [scale.x(point.at_ms), scale.y(at)];
      path += `${pen}${last[0].toFixed(1)} ${last[1].toFixed(1)}`;
      pen = "L";
    }
    if (last === null) return [];
    return [
      shape("path", { class: `line ${colour}`, d: path }),
      shape("circle", { class: `dot ${colour}`, cx: last[0], cy: last[1], r: 3.5 }),
    ];
  }

  marked(start, scale, width, height) {
    const drawn = [];
    let before = null;
    for (const mark of this.marks.filter((one) => one.at_ms >= start)) {
      if (before !== null && mark.at_ms - before.at_ms < TOGETHER_MS && mark.text === before.text) continue;
      const x = scale.x(mark.at_ms);
      const late = x > width * 0.7;
      // Neighbours would be written over one another.
      const high = before !== null && x - scale.x(before.at_ms) < 130 && before.y === 11;
      const y = high ? 11 + LINE_HEIGHT : 11;
      drawn.push(shape("line", { class: "mark", x1: x, x2: x, y1: y - 9, y2: height - MARGIN.bottom }));
      const anchor = late ? "end" : "start";
      drawn.push(shape("text", { class: "mark-text", x: late ? x - 6 : x + 6, y, "text-anchor": anchor }, mark.text));
      before = { ...mark, y };
    }
    return drawn;
  }

  // What the pointer is at.
  crossing(shown, scale, width, height) {
    if (this.pointer === null) return [];
    const far = (point) => Math.abs(scale.x(point.at_ms) - this.pointer);
    const near = shown.reduce((best, point) => (far(point) < far(best) ? point : best));
    const x = scale.x(near.at_ms);
    const texts = [
      `${ago(shown.at(-1).at_ms - near.at_ms)} ago`,
      ...this.lines.map(({ label, value }) => `${label} ${value(near) === null ? "–" : this.format(value(near))}`),
    ];
    const wide = 7 * Math.max(...texts.map((text) => text.length)) + 16;
    const left = x + wide + 12 > width ? x - wide - 8 : x + 8;
    return [
      shape("line", { class: "cross", x1: x, x2: x, y1: MARGIN.top, y2: height - MARGIN.bottom }),
      shape("rect", { class: "box", x: left, y: MARGIN.top, width: wide, height: texts.length * LINE_HEIGHT + 10, rx: 6 }),
      ...texts.map((text, row) =>
        shape("text", { class: "box-text", x: left + 8, y: MARGIN.top + (row + 1) * LINE_HEIGHT }, text)),
    ];
  }
}
