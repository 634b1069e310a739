// How a measure runs over the text: each token as a bar, their moving mean as a line.

import { linear, ticks } from "../scale.js";
import { onWidth, s } from "../dom.js";
import { number } from "../numbers.js";
import { t } from "../words.js";
import { valueOf } from "./tokens.js";

const HEIGHT = 190;
const MARGIN = { left: 44, right: 10, top: 10, bottom: 30 };
const REACH = 3;

const smooth = (values) =>
  values.map((_, at) => {
    const near = values.slice(Math.max(0, at - REACH), at + REACH + 1).filter((value) => value !== null);
    return near.length ? near.reduce((sum, value) => sum + value, 0) / near.length : null;
  });

/** Make the trace in `box`. Returns `{show(spans, measure), mark(at)}`; `choose(at)` is called on a click. */
export const makeTrace = (box, choose) => {
  const svg = s("svg", { class: "chart trace", role: "img" });
  box.append(svg);
  let width = 0;
  let spans = [];
  let measure = null;
  let chosen = 0;
  let x = null;

  const draw = () => {
    if (!width || !measure || !spans.length) return;
    const values = spans.map((span) => valueOf(span, measure));
    const given = values.filter((value) => value !== null);
    const most = Math.max(measure.most, ...given.map(Math.abs));
    const low = Math.min(-measure.most / 4, ...given);
    const domain = [low < 0 ? Math.max(-most, low * 1.1) : 0, most];
    const y = linear(domain, [HEIGHT - MARGIN.bottom, MARGIN.top]);
    x = linear([-0.5, spans.length - 0.5], [MARGIN.left, width - MARGIN.right]);
    const wide = Math.max(1, Math.min(14, (x(1) - x(0)) * 0.7));
    const line = smooth(values).map((value, at) => (value === null ? null : `${x(at)},${y(value)}`)).filter(Boolean);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    svg.setAttribute("aria-label", t("trace.alt", { name: measure.name(), n: spans.length }));
    svg.replaceChildren(
      ...ticks(domain, 4).flatMap((value) => [
        s("line", { class: value === 0 ? "zero" : "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: MARGIN.left - 6, y: y(value), "text-anchor": "end" }, number(value, Math.abs(most) > 2 ? 0 : 1)),
      ]),
      s("rect", { class: "here", x: x(chosen) - wide / 2 - 2, y: MARGIN.top, width: wide + 4, height: HEIGHT - MARGIN.top - MARGIN.bottom, rx: 2 }),
      ...values.map((value, at) =>
        value === null ? "" : s("rect", { class: value < 0 ? "low" : "high", x: x(at) - wide / 2, width: wide, y: Math.min(y(0), y(value)), height: Math.abs(y(value) - y(0)) }),
      ),
      s("polyline", { class: "smooth", points: line.join(" ") }),
      s("text", { class: "tick", x: (MARGIN.left + width) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, t("trace.axis", { name: measure.name(), n: 2 * REACH + 1 })),
    );
  };
  svg.addEventListener("click", (event) => {
    if (!x) return;
    const frame = svg.getBoundingClientRect();
    const at = Math.round(x.invert(((event.clientX - frame.left) * width) / frame.width));
    if (at >= 0 && at < spans.length) choose(at);
  });
  onWidth(box, (given) => {
    width = given;
    draw();
  });
  return {
    show: (text, by) => {
      [spans, measure] = [text, by];
      draw();
    },
    mark: (at) => {
      chosen = at;
      draw();
    },
  };
};
