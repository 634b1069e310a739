// What stands behind one token: its measures, its highest categories, the features that speak.

import { h } from "../dom.js";
import { hueOf } from "../hues.js";
import { number, signed } from "../numbers.js";
import { emotionName, t } from "../words.js";
import { valueOf } from "./tokens.js";

/** Return the highest `n` categories of scores as `[{name, score}]`. */
export const highest = (categories, scores, n) =>
  categories.map((name, at) => ({ name, score: scores[at] })).sort((a, b) => b.score - a.score).slice(0, n);

/** Return bars of categories with their z. */
export const categoryBars = (entries, label) => {
  const most = Math.max(3, ...entries.map(({ score }) => score));
  return h(
    "ul",
    { class: "bars", "aria-label": label },
    ...entries.map(({ name, score }) => {
      const fill = h("i");
      fill.style.setProperty("--share", Math.max(0, score) / most);
      fill.style.setProperty("--hue", hueOf(name) === "var(--quiet)" ? "var(--c-concepts)" : hueOf(name));
      return h("li", {}, h("span", {}, emotionName(name)), h("b", { class: "bar", "aria-hidden": "true" }, fill), h("span", { class: "num" }, number(score, 1)));
    }),
  );
};

/** Return the facts of valence and arousal as a list. */
export const affect = (valence, arousal) =>
  h(
    "dl",
    { class: "facts" },
    h("div", {}, h("dt", {}, t("axis.valence")), h("dd", {}, signed(valence))),
    h("div", {}, h("dt", {}, t("axis.arousal")), h("dd", {}, signed(arousal))),
  );

/** Draw the detail of a span into `box`. */
export const drawDetail = (box, span, reading) => {
  const mean = (of) => valueOf(span, { of });
  const scores = reading.categories.map((_, at) => mean((token) => token.scores[at]));
  const features = loudest(span.parts.flatMap((token) => token.features ?? []));
  box.replaceChildren(
    h("h2", {}, t("read.token"), " ", h("q", { class: "quoted" }, span.text.trim() || span.text)),
    affect(mean((token) => token.valence), mean((token) => token.arousal)),
    h("h3", {}, t("read.highest")),
    categoryBars(highest(reading.categories, scores, 5), t("read.highest")),
    h("h3", {}, t("read.features")),
    features.length ? featureList(features) : h("p", { class: "note" }, t(reading.space === "sae" ? "read.silent" : "read.dense")),
  );
};

// Where a span is made of several tokens a feature may be active in each: it is shown once, where it is strongest.
const loudest = (features) => {
  const best = new Map();
  for (const feature of features) if (!(best.get(feature.latent)?.activation >= feature.activation)) best.set(feature.latent, feature);
  return [...best.values()];
};

const featureList = (features) =>
  h(
    "ul",
    { class: "features" },
    ...features.map(({ latent, activation, category, words }) =>
      h(
        "li",
        {},
        h("span", { class: "latent" }, `#${latent}`),
        " ",
        category && h("strong", {}, emotionName(category)),
        h("span", { class: "num" }, t("read.activation", { value: number(activation) })),
        words?.length ? h("span", { class: "words" }, words.join(", ")) : null,
      ),
    ),
  );
