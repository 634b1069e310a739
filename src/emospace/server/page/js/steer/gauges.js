// Under each answer: the emotion an outside judge gives it, how fluent it is, how the model itself reads it.

import { h } from "../dom.js";
import { hueOf } from "../hues.js";
import { figure, number, signed } from "../numbers.js";
import { emotionName, onLanguage, t } from "../words.js";

const percent = (share) => `${Math.round(100 * share)}%`;

/** Make the gauges of one answer. Returns `{node, set({judgement, reading, steering}), clear, perplexity, compareWith}`. */
export const makeGauges = () => {
  const node = h("div", { class: "gauges" });
  let known = {};
  let other = null;

  const draw = () => {
    const { judgement, reading, steering } = known;
    node.replaceChildren(
      ...[judgement && judged(judgement), (judgement || reading || steering) && h("dl", { class: "facts" }, ...facts(known, other))].filter(Boolean),
    );
  };
  onLanguage(draw);
  return {
    node,
    set: (more) => {
      known = { ...known, ...more };
      draw();
    },
    clear: () => {
      [known, other] = [{}, null];
      draw();
    },
    perplexity: () => known.judgement?.perplexity ?? null,
    compareWith: (perplexity) => {
      other = perplexity;
      draw();
    },
  };
};

const judged = ({ choice, basic }) =>
  h(
    "div",
    { class: "judged" },
    h("h3", {}, t("gauge.judged"), " ", h("strong", {}, emotionName(choice))),
    h("ul", { class: "bars", "aria-label": t("gauge.judged") }, ...Object.entries(basic).map(([name, share]) => bar(name, share))),
  );

const bar = (name, share) => {
  const fill = h("i");
  fill.style.setProperty("--share", share);
  fill.style.setProperty("--hue", hueOf(name));
  return h("li", {}, h("span", {}, emotionName(name)), h("b", { class: "bar", "aria-hidden": "true" }, fill), h("span", { class: "num" }, percent(share)));
};

const facts = ({ judgement, reading, steering }, other) => {
  const given = [];
  const add = (key, value, note = "") => given.push(h("div", {}, h("dt", {}, t(key)), h("dd", {}, value, note && h("small", {}, ` ${note}`))));
  const perplexity = judgement?.perplexity;
  if (perplexity !== null && perplexity !== undefined) {
    const ratio = other ? perplexity / other : null;
    add("gauge.perplexity", number(perplexity, 1), ratio === null ? "" : t("gauge.ratio", { ratio: number(ratio, 1) }));
  }
  if (reading && reading.valence !== null) add("gauge.valence", signed(reading.valence));
  if (reading && reading.arousal !== null) add("gauge.arousal", signed(reading.arousal));
  if (steering) add("dose.name", figure(steering.dose), t("gauge.applied", { n: steering.applications }));
  return given;
};
