// r over layers, one line a rating, with the layer that is looked at.

import { onWidth, s } from "../dom.js";
import { figure } from "../numbers.js";
import { t } from "../words.js";
import { linear, ticks } from "./scale.js";

const HEIGHT = 230;
const MARGIN = { left: 40, right: 10, top: 10, bottom: 38 };

/** Make curves in `box`. Returns `{show({series, here, title, alt})}`; a series is `{name, hue, dash, points: [[layer, r]]}`. */
export const makeCurve = (box) => {
  const svg = s("svg", { class: "chart", role: "img" });
  box.append(svg);
  let width = 0;
  let given = null;
  const draw = () => {
    if (!width || !given?.series.length) return svg.replaceChildren();
    const { series, here, title, alt } = given;
    const layers = series.flatMap(({ points }) => points.map(([layer]) => layer));
    const values = series.flatMap(({ points }) => points.map(([, value]) => value)).filter(Number.isFinite);
    const x = linear([Math.min(...layers), Math.max(...layers)], [MARGIN.left, width - MARGIN.right]);
    const range = [Math.min(0, ...values), Math.min(1, Math.max(...values) * 1.08)];
    const y = linear(range, [HEIGHT - MARGIN.bottom, MARGIN.top]);
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("height", HEIGHT);
    svg.setAttribute("aria-label", alt);
    return svg.replaceChildren(
      ...ticks(range, 4).flatMap((value) => [
        s("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: MARGIN.left - 6, y: y(value), "text-anchor": "end" }, value ? figure(value, 1) : "0"),
      ]),
      ...ticks([Math.min(...layers), Math.max(...layers)], 6).map((value) =>
        s("text", { class: "tick", x: x(value), y: HEIGHT - MARGIN.bottom + 12, "text-anchor": "middle" }, String(value)),
      ),
      s("text", { class: "title", x: (MARGIN.left + width) / 2, y: HEIGHT - 8, "text-anchor": "middle" }, title),
      here === null ? "" : s("line", { class: "here", x1: x(here), x2: x(here), y1: MARGIN.top, y2: HEIGHT - MARGIN.bottom }),
      ...series.map(({ name, hue, dash, points }) =>
        s("polyline", { class: "curve", color: hue, "stroke-dasharray": dash, points: points.map(([layer, value]) => `${x(layer)},${y(value)}`).join(" ") }, s("title", {}, name)),
      ),
      ...series.flatMap(({ name, hue, points }) =>
        points.map(([layer, value]) => s("circle", { class: "dot", color: hue, cx: x(layer), cy: y(value), r: layer === here ? 5 : 2.6 }, s("title", {}, t("curve.at", { name, layer, value: figure(value) })))),
      ),
    );
  };
  onWidth(box, (one) => {
    width = one;
    draw();
  });
  return {
    show: (what) => {
      given = what;
      draw();
    },
  };
};
