// Plots of the last hour: lines or bars of each version over time, and what they were where the pointer is. Knows series, and
// nothing of handlers.

import { put } from "./language.js";
import { draw, make } from "./dom.js";

const WIDTH = 360;
const HEIGHT = 72;

// The spans that a plot may show, in milliseconds: the shortest one that holds all there is.
const SPANS = [300_000, 900_000, 1_800_000, 3_600_000];

// The span of samples, from their first moment to the last.
export function spanOf(moments) {
  const length = moments.length ? moments.at(-1) - moments[0] : 0;
  return SPANS.find((span) => length <= span) ?? SPANS.at(-1);
}

// One plot. `show` draws it: `series` each have a `tone`, a `name`, `values` (null: none) and may be `dashed`; `write` makes a
// text of a value.
export class Plot {
  constructor(title, { bars = false, write }) {
    this.bars = bars;
    this.write = write;
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    this.most = make("span", { class: "most" });
    this.reading = make("p", { class: "reading" });
    this.from = make("span");
    this.title = make("figcaption", { line: title });
    this.element = make("figure", { class: "plot" },
      make("div", { class: "plot-head" }, this.title, this.most),
      make("div", { class: "canvas" }, this.svg, this.reading),
      make("div", { class: "axis", "aria-hidden": "true" }, this.from, make("span", { line: { key: "now" } })));
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.unpoint());
  }

  show(moments, series, now) {
    const span = spanOf(moments);
    const most = Math.max(0, ...series.flatMap(({ values }) => values.filter((value) => value !== null)));
    Object.assign(this, { moments, series, span, now });
    this.x = (at) => WIDTH * (1 - (now - at) / span);
    this.y = (value) => HEIGHT - 2 - (most ? (value / most) * (HEIGHT - 8) : 0);
    this.most.textContent = most ? this.write(most) : "0";
    this.element.classList.toggle("flat", !most);
    put(this.from, { key: `ago_${span / 60_000}` });
    const each = series.map((one) => (this.bars ? this.barsOf(one) : this.lineOf(one)));
    this.svg.replaceChildren(draw("path", { class: "floor", d: `M0 ${HEIGHT - 1}H${WIDTH}` }), ...each);
    this.unpoint();
  }

  lineOf({ values, tone, dashed }) {
    let pen = "M";
    const steps = values.map((value, index) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const x = this.x(this.moments[index]).toFixed(1);
      const y = this.y(value).toFixed(1);
      // A value alone is a dot.
      const alone = pen === "M" && (values[index + 1] ?? null) === null;
      const step = alone ? `M${x} ${y}h.01` : `${pen}${x} ${y}`;
      pen = "L";
      return step;
    });
    return draw("path", { class: `line ${tone}${dashed ? " dashed" : ""}`, d: steps.join("") || "M0 0" });
  }

  barsOf({ values, tone }) {
    const steps = values.map((value, index) => {
      if (!value) return "";
      const x = this.x(this.moments[index]);
      return `M${(x - 1.2).toFixed(1)} ${HEIGHT - 1}V${this.y(value).toFixed(1)}h2.4V${HEIGHT - 1}z`;
    });
    return draw("path", { class: `bar ${tone}`, d: steps.join("") || "M0 0" });
  }

  // What it was where the pointer is.
  point(event) {
    if (!this.moments?.length) return;
    const box = this.svg.getBoundingClientRect();
    const at = this.now - (1 - (event.clientX - box.left) / box.width) * this.span;
    const distance = (index) => Math.abs(this.moments[index] - at);
    const nearest = this.moments.reduce((best, _, index) => (distance(index) < distance(best) ? index : best), 0);
    const parts = this.series
      .filter(({ values }) => values[nearest] !== null && (values[nearest] || !this.bars))
      .map(({ name, values, tone }) => make("span", {}, make("i", { class: `swatch ${tone}` }), `${name} ${this.write(values[nearest])}`));
    const clock = new Date(this.moments[nearest]).toLocaleTimeString([], { hour12: false });
    this.reading.replaceChildren(make("time", { text: clock }), ...parts);
    const left = (100 * this.x(this.moments[nearest])) / WIDTH;
    this.reading.classList.toggle("right", left > 50);
    this.cursor ??= draw("path", { class: "cursor" });
    this.cursor.setAttribute("d", `M${this.x(this.moments[nearest]).toFixed(1)} 0V${HEIGHT}`);
    this.svg.append(this.cursor);
  }

  unpoint() {
    this.reading.replaceChildren();
    this.cursor?.remove();
  }
}
