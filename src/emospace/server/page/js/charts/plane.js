// Categories on the plane of valence and arousal, one colour a language, people beside them.

import { onWidth, s } from "../dom.js";
import { BASIC } from "../hues.js";
import { number } from "../numbers.js";
import { emotionName, t } from "../words.js";
import { placeLabels } from "./labels.js";
import { linear, ticks } from "./scale.js";

const MARGIN = 50;
const FOOT = 38;

/**
 * Make the plane in `box`. Returns `{show({series, basicOnly, picked, alt})}`.
 *
 * A series is `{name, hue, hollow, points: [{category, x, y}]}`; lines tie a category's points of all series together.
 */
export const makePlane = (box) => {
  const svg = s("svg", { class: "chart plane", role: "img" });
  box.append(svg);
  let size = 0;
  let given = null;

  const draw = () => {
    if (!size || !given) return;
    const { series, basicOnly, picked, alt } = given;
    const kept = series.map((one) => ({ ...one, points: one.points.filter(({ category, x, y }) => Number.isFinite(x) && Number.isFinite(y) && (!basicOnly || BASIC.includes(category))) }));
    const all = kept.flatMap(({ points }) => points);
    const limit = 1.12 * Math.max(0.1, ...all.flatMap(({ x, y }) => [Math.abs(x), Math.abs(y)]));
    const x = linear([-limit, limit], [MARGIN, size - 8]);
    const y = linear([-limit, limit], [size - FOOT, 8]);
    const categories = [...new Set(all.map(({ category }) => category))];
    // A category is named where the languages have it; where none does, where people do.
    const model = kept.filter(({ hollow }) => !hollow).flatMap(({ points }) => points);
    const of = (points, category) => points.filter((point) => point.category === category);
    const middle = new Map(categories.map((category) => [category, mean(of(model, category).length ? of(model, category) : of(all, category))]));
    const faded = (category) => (picked && picked !== category ? " faded" : "");
    const labelled = categories.filter((category) => !picked || picked === category);
    const anchors = labelled.map((category) => ({ x: x(middle.get(category).x), y: y(middle.get(category).y), text: emotionName(category), bold: BASIC.includes(category) }));
    const others = all.map((point) => ({ x: x(point.x), y: y(point.y) }));
    const spots = placeLabels(anchors, size, size - FOOT, size < 400 ? 10 : 11.5, { others });
    const marks = ticks([-limit, limit], 4);
    svg.setAttribute("viewBox", `0 0 ${size} ${size}`);
    svg.setAttribute("height", size);
    svg.setAttribute("aria-label", alt);
    svg.replaceChildren(
      ...marks.flatMap((value) => [
        s("line", { class: value === 0 ? "zero" : "grid", x1: x(value), x2: x(value), y1: 8, y2: size - FOOT }),
        s("line", { class: value === 0 ? "zero" : "grid", x1: MARGIN, x2: size - 8, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: x(value), y: size - FOOT + 12, "text-anchor": "middle" }, number(value, 1)),
        s("text", { class: "tick", x: MARGIN - 5, y: y(value), "text-anchor": "end" }, number(value, 1)),
      ]),
      s("text", { class: "title", x: size / 2, y: size - 6, "text-anchor": "middle" }, t("plane.valence")),
      s("text", { class: "title", transform: `translate(9 ${size / 2}) rotate(-90)`, "text-anchor": "middle" }, t("plane.arousal")),
      ...(kept.length > 1 ? categories.flatMap((category) => ties(category, kept, middle.get(category), x, y, faded(category))) : []),
      ...kept.flatMap((one) => one.points.map((point) => dot(point, one, x, y, faded(point.category)))),
      ...anchors.flatMap((anchor, at) => label(anchor, spots[at], size)),
    );
  };
  onWidth(box, (width) => {
    size = Math.min(width, 640);
    draw();
  });
  return {
    show: (what) => {
      given = what;
      draw();
    },
  };
};

const mean = (points) => ({
  x: points.reduce((sum, point) => sum + point.x, 0) / points.length,
  y: points.reduce((sum, point) => sum + point.y, 0) / points.length,
});

const ties = (category, series, middle, x, y, faded) =>
  series.flatMap(({ hue, points }) =>
    points.filter((point) => point.category === category).map((point) => s("line", { class: `tie${faded}`, color: hue, x1: x(middle.x), y1: y(middle.y), x2: x(point.x), y2: y(point.y) })),
  );

const dot = (point, { name, hue, hollow }, x, y, faded) => {
  const basic = BASIC.includes(point.category);
  return s(
    "circle",
    { class: `point${hollow ? " hollow" : ""}${faded}`, color: hue, cx: x(point.x), cy: y(point.y), r: basic ? 6 : 4 },
    s("title", {}, `${emotionName(point.category)}, ${name}: ${number(point.x)}, ${number(point.y)}`),
  );
};

const label = (anchor, spot, size) => {
  if (!spot) return [];
  return [
    spot.far && s("line", { class: "lead", x1: anchor.x, y1: anchor.y, x2: spot.x, y2: spot.y }),
    s("text", { class: `name${anchor.bold ? " basic" : ""}`, x: spot.x, y: spot.y, "font-size": size < 400 ? 10 : 11.5 }, anchor.text),
  ].filter(Boolean);
};
