// A dissimilarity matrix by percentile; a pointer or the arrow keys say what a cell holds.

import { freshId, h, onWidth, s } from "../dom.js";
import { viridis } from "../hues.js";
import { clamp, number } from "../numbers.js";
import { emotionName, onLanguage, t } from "../words.js";
import { widthOf } from "./labels.js";

const FONTS = [8, 11];

/** Return off-diagonal values as percentiles, 0 to 1; what is missing stays NaN. */
export const percentiles = (square) => {
  const given = square.flatMap((row, i) => row.filter((value, j) => i !== j && Number.isFinite(value))).sort((a, b) => a - b);
  const rank = new Map(given.map((value, at) => [value, at]));
  return square.map((row, i) => row.map((value, j) => (i === j ? 0 : Number.isFinite(value) ? rank.get(value) / Math.max(1, given.length - 1) : NaN)));
};

/** Make a heat map in `box`. Returns `{show({names, square, alt})}`. */
export const makeHeat = (box) => {
  const readout = freshId("heat");
  const canvas = h("canvas", { role: "img", tabindex: 0, "aria-describedby": readout });
  const output = h("output", { id: readout, "aria-live": "polite" });
  const [rows, columns] = ["rows", "columns"].map((axis) => s("svg", { class: `chart ${axis}`, "aria-hidden": "true" }));
  box.append(h("div", { class: "heat" }, rows, canvas, columns, output));
  let names = [];
  let square = [];
  let cell = [0, 1];

  const say = ([i, j]) => {
    if (!names.length) return;
    const value = square[i][j];
    output.textContent = t("heat.cell", { a: emotionName(names[i]), b: emotionName(names[j]), value: Number.isFinite(value) ? number(value) : t("heat.absent") });
  };
  // Where cells are too small for every name, those of every second, third... are written.
  const label = () => {
    const side = canvas.clientWidth / names.length;
    const font = clamp(side * 0.8, ...FONTS);
    const every = Math.ceil((font + 1) / side);
    const written = names.map((name, place) => ({ text: emotionName(name), middle: (place + 0.5) * side })).filter((_, place) => place % every === 0);
    const long = Math.ceil(Math.max(0, ...written.map(({ text }) => widthOf(text, font)))) + 6;
    const word = (text, transform) => s("text", { "text-anchor": "end", transform }, text);
    rows.replaceChildren(...written.map(({ text, middle }) => word(text, `translate(${long - 4} ${middle})`)));
    columns.replaceChildren(...written.map(({ text, middle }) => word(text, `translate(${middle} 4) rotate(-90)`)));
    for (const axis of [rows, columns]) axis.style.setProperty("--size", `${font}px`);
    rows.setAttribute("width", long);
    columns.setAttribute("height", long);
  };
  onWidth(canvas, () => names.length && label());
  onLanguage(() => names.length && label());
  const at = (event) => {
    const frame = canvas.getBoundingClientRect();
    const inside = (pixel, length) => Math.min(names.length - 1, Math.max(0, Math.floor((pixel / length) * names.length)));
    return [inside(event.clientY - frame.top, frame.height), inside(event.clientX - frame.left, frame.width)];
  };
  canvas.addEventListener("pointermove", (event) => say(at(event)));
  canvas.addEventListener("pointerleave", () => (output.textContent = t("heat.help")));
  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step || !names.length) return;
    event.preventDefault();
    cell = cell.map((one, axis) => Math.min(names.length - 1, Math.max(0, one + step[axis])));
    say(cell);
  });
  return {
    show: (given) => {
      ({ names, square } = given);
      cell = [0, Math.min(1, names.length - 1)];
      canvas.setAttribute("aria-label", given.alt);
      output.textContent = t("heat.help");
      canvas.width = canvas.height = Math.max(1, names.length);
      for (const axis of [rows, columns]) axis.replaceChildren();
      if (!names.length) return;
      label();
      const pixels = new ImageData(names.length, names.length);
      percentiles(square).flat().forEach((share, place) => pixels.data.set(Number.isNaN(share) ? [128, 128, 128, 50] : [...viridis(share), 255], 4 * place));
      canvas.getContext("2d").putImageData(pixels, 0, 0);
    },
  };
};
