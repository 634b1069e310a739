// Which words carry the tone: each is shaded by how much likelier the tone made it, and the strongest are named.

import { h } from "../dom.js";
import { diverging } from "../hues.js";
import { number } from "../numbers.js";
import { onLanguage, t } from "../words.js";

const FULL = Math.log(30); // a word thirty times as likely has the full shade
const LEAST = Math.log(3); // below it a word stays plain: every second word of a steered answer is somewhat likelier
const STEPS = [3, 10, 30];
const NAMED = 5;
const SEGMENTS = new Intl.Segmenter(undefined, { granularity: "word" });

/** Join pieces `[{text, shift}]` to words `[{text, shift, word}]`; the tokens of a word add up. */
export const wordsOf = (pieces) => {
  const words = [...SEGMENTS.segment(pieces.map(({ text }) => text).join(""))].map(({ segment, index, isWordLike }) => ({
    text: segment, from: index, to: index + segment.length, shift: 0, word: Boolean(isWordLike),
  }));
  let at = 0;
  let place = 0;
  for (const { text, shift } of pieces) {
    const begins = at + (text.match(/\S/)?.index ?? 0);
    while (place < words.length - 1 && words[place].to <= begins) place += 1;
    if (words.length) words[place].shift += shift;
    at += text.length;
  }
  return words;
};

/** Write how much likelier a shift makes a word: `× 12`, `× 0.3`. */
const times = (shift) => {
  const factor = Math.exp(shift);
  return factor >= 100 ? ">\u00a0×\u00a0100" : `×\u00a0${number(factor, factor < 3 ? 1 : 0)}`;
};

const shaded = ({ text, shift }) => {
  if (Math.abs(shift) < LEAST || !text.trim()) return text;
  const node = h("mark", { class: shift < 0 ? "against" : null, title: t(shift < 0 ? "shade.against" : "shade.with", { times: times(shift) }) }, text);
  node.style.background = diverging(shift / FULL);
  return node;
};

const swatch = (factor) => {
  const node = h("i", { "aria-hidden": "true" });
  node.style.background = diverging(Math.log(factor) / FULL);
  return h("span", { class: "swatch" }, node, `× ${factor}`);
};

/** Make the legend of an answer's shades. Returns `{node, show(words)}`; without a shaded word it is hidden. */
export const makeLegend = () => {
  const node = h("div", { class: "shades", hidden: true });
  let shown = [];
  const draw = () => {
    const strongest = shown.filter(({ shift, word }) => word && shift >= LEAST).sort((a, b) => b.shift - a.shift);
    const named = new Map();
    for (const { text, shift } of strongest) if (!named.has(text)) named.set(text, shift);
    node.hidden = !named.size;
    const list = [...named].slice(0, NAMED).map(([text, shift]) => t("shade.word", { word: text, times: times(shift) }));
    node.replaceChildren(
      h("p", { class: "note" }, t("shade.scale"), " ", ...STEPS.map(swatch)),
      h("p", { class: "note" }, t("shade.most", { list: list.join(t("gauge.and")) })),
    );
  };
  onLanguage(draw);
  return { node, show: (words) => { shown = words; draw(); } };
};

/** Return the nodes of an answer, its words shaded. */
export const shadedNodes = (words) => words.map(shaded);
