// Values with intervals as dots and whiskers on a common scale, some rows with a band, a ceiling beside them.

import { linear, ticks } from "./scale.js";
import { widthOf } from "./labels.js";
import { onWidth, s } from "../dom.js";
import { figure } from "../numbers.js";

const ROW = 27;
const LINE = 12;
const TOP = 24;
const BOTTOM = 40;

/**
 * Make bars in `box`. Returns `{show({rows, ceiling, band, title, alt})}`.
 *
 * A row is `{name, marks: [{value, low, high, hue, about}]}`: one mark is drawn as a bar, several as dots.
 */
export const makeBars = (box) => {
  const svg = s("svg", { class: "chart", role: "img" });
  box.append(svg);
  let width = 0;
  let given = null;

  const draw = () => {
    if (!width || !given) return;
    const { rows, ceiling, band, title, alt } = given;
    const left = Math.min(width * 0.42, 14 + Math.max(...rows.map(({ name }) => widthOf(name, 11.5))));
    const per = Math.max(1, ...rows.map(({ marks }) => marks.length));
    const pitch = per > 1 ? Math.max(ROW, 9 * per + 10) : ROW;
    const height = TOP + pitch * rows.length + BOTTOM;
    const values = rows.flatMap(({ marks }) => marks.flatMap(({ value, low, high }) => [value, low, high])).filter(Number.isFinite);
    const domain = [Math.min(0, ...values) - (Math.min(...values) < 0 ? 0.04 : 0), Math.max(1.02, ...values)];
    const x = linear(domain, [left, width - 40]);
    const foot = height - BOTTOM + 4;
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", alt);
    svg.replaceChildren(
      ...[
        band && s("rect", { class: "band", x: x(band.low), width: Math.max(1, x(band.high) - x(band.low)), y: TOP - 4, height: foot - TOP + 4 }, s("title", {}, band.about)),
        ...ticks(domain, width < 500 ? 3 : 5).flatMap((value) => [
          s("line", { class: value === 0 ? "zero" : "grid", x1: x(value), x2: x(value), y1: TOP - 4, y2: foot }),
          s("text", { class: "tick", x: x(value), y: foot + 11, "text-anchor": "middle" }, value ? figure(value, 1) : "0"),
        ]),
        s("text", { class: "title", x: (left + width - 40) / 2, y: height - 8, "text-anchor": "middle" }, title),
        ...rows.flatMap((row, at) => drawRow(row, TOP + pitch * at, pitch, left, x, per)),
        ceiling && s("line", { class: "ceiling", x1: x(ceiling.value), x2: x(ceiling.value), y1: TOP - 4, y2: foot }),
        ceiling && s("text", { class: "ceiling-name", x: x(ceiling.value), y: 12, "text-anchor": "end" }, ceiling.name),
      ].filter(Boolean),
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

const drawRow = ({ name, marks }, top, pitch, left, x, per) => {
  const lines = fitted(name, left - 8);
  const nodes = lines.map((line, at) => s("text", { x: left - 8, y: top + pitch / 2 + (at - (lines.length - 1) / 2) * LINE, "text-anchor": "end", "dominant-baseline": "central" }, line));
  marks.forEach(({ value, low, high, hue, about }, at) => {
    if (!Number.isFinite(value)) return;
    const y = top + (pitch * (at + 1)) / (marks.length + 1);
    const whisker = Number.isFinite(low) && Number.isFinite(high) && s("line", { class: "whisker", x1: x(low), x2: x(high), y1: y, y2: y });
    const mark =
      per === 1
        ? s("rect", { x: Math.min(x(0), x(value)), width: Math.abs(x(value) - x(0)), y: y - 8.5, height: 17, fill: hue }, s("title", {}, about))
        : s("circle", { class: "point", color: hue, cx: x(value), cy: y, r: 4.5 }, s("title", {}, about));
    nodes.push(...(per === 1 ? [mark, whisker] : [whisker, mark]).filter(Boolean));
    if (per === 1) nodes.push(s("text", { x: x(Math.max(value, high ?? value)) + 6, y, "dominant-baseline": "central" }, figure(value)));
  });
  return nodes;
};

// In two lines at most, what is longer cut off.
const fitted = (name, room) => {
  const words = name.split(" ");
  let taken = words.length;
  while (taken > 1 && widthOf(words.slice(0, taken).join(" "), 11.5) > room) taken -= 1;
  return [words.slice(0, taken), words.slice(taken)].filter((line) => line.length).map((line) => cut(line.join(" "), room));
};

const cut = (line, room) => {
  let text = line;
  while (text.length > 4 && widthOf(text, 11.5) > room) text = `${text.slice(0, -2).trimEnd()}…`;
  return text;
};
