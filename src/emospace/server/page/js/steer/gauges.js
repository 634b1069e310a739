// Under each answer: the emotion an outside judge gives it, how fluent it is, how the model itself reads it.

import { h } from "../dom.js";
import { hueOf } from "../hues.js";
import { figure, number, signed } from "../numbers.js";
import { emotionName, onLanguage, t } from "../words.js";

const NOTABLE = 0.05; // a change below it is called none
const MOST = 2;

const percent = (share) => `${Math.round(100 * share)}%`;

/** Make the gauges of one answer. Returns `{node, set({judgement, reading, steering}), clear, judgement, compareWith}`. */
export const makeGauges = () => {
  const node = h("div", { class: "gauges" });
  let known = {};
  let other = null;

  const draw = () => {
    const { judgement, reading, steering } = known;
    node.replaceChildren(
      ...[judgement && judged(judgement, other), (judgement || reading || steering) && h("dl", { class: "facts" }, ...facts(known, other))].filter(Boolean),
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
    judgement: () => known.judgement ?? null,
    compareWith: (judgement) => {
      other = judgement;
      draw();
    },
  };
};

const judged = ({ choice, basic }, other) =>
  h(
    "div",
    { class: "judged" },
    h("h3", {}, t("gauge.judged"), " ", h("strong", {}, choice === null ? "–" : emotionName(choice))),
    other && h("p", { class: "change" }, change(basic, other.basic)),
    h("ul", { class: "bars", "aria-label": t("gauge.judged") }, ...Object.entries(basic).map(([name, share]) => bar(name, share, other?.basic[name] ?? null))),
  );

/** Say what the judge finds in this answer and not in the other, the largest changes first. */
const change = (here, there) => {
  const changes = Object.keys(here).map((name) => ({ name, by: here[name] - there[name] })).filter(({ by }) => Math.abs(by) >= NOTABLE).sort((a, b) => Math.abs(b.by) - Math.abs(a.by));
  if (!changes.length) return t("gauge.alike");
  const list = changes.slice(0, MOST).map(({ name, by }) => t(by > 0 ? "gauge.more" : "gauge.less", { name: emotionName(name), here: percent(here[name]), there: percent(there[name]) }));
  return t("gauge.change", { list: list.join(t("gauge.and")) });
};

const bar = (name, share, before) => {
  const fill = h("i");
  fill.style.setProperty("--share", share);
  fill.style.setProperty("--hue", hueOf(name));
  const mark = before === null ? null : h("i", { class: "before" });
  mark?.style.setProperty("--share", before);
  return h("li", {}, h("span", {}, emotionName(name)), h("b", { class: "bar", "aria-hidden": "true" }, fill, mark), h("span", { class: "num" }, percent(share)));
};

const facts = ({ judgement, reading, steering }, other) => {
  const given = [];
  const add = (key, value, note = "") => given.push(h("div", {}, h("dt", {}, t(key)), h("dd", {}, value, note && h("small", {}, ` ${note}`))));
  const perplexity = judgement?.perplexity;
  if (perplexity !== null && perplexity !== undefined) {
    const ratio = other?.perplexity ? perplexity / other.perplexity : null;
    add("gauge.perplexity", number(perplexity, 1), ratio === null ? "" : t("gauge.ratio", { ratio: number(ratio, 1) }));
  }
  if (reading && reading.valence !== null) add("gauge.valence", signed(reading.valence));
  if (reading && reading.arousal !== null) add("gauge.arousal", signed(reading.arousal));
  if (steering) add("dose.name", figure(steering.dose), t("gauge.applied", { n: steering.applications }));
  return given;
};
