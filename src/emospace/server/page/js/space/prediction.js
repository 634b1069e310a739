// Ratings predicted by the space, its controls and baselines, under the ceiling that people's own agreement sets.

import { makeBars } from "../charts/bars.js";
import { makeSelect, switches } from "../charts/select.js";
import { h } from "../dom.js";
import { count, figure, interval, pClause } from "../numbers.js";
import { languageName, t } from "../words.js";
import { SETS, setName, targetName } from "./names.js";

const unique = (values) => [...new Set(values)];

/** Make the part in `box`. Returns `{show(scene)}`. */
export const makePrediction = (box, { remember }) => {
  let scene = null;
  let held = true;
  const norms = makeSelect("space.norms", (value) => { remember({ norms: value }); scene.setting.norms = value; draw(); });
  const target = makeSelect("space.target", (value) => { remember({ target: value }); scene.setting.target = value; draw(); });
  const words = h("div");
  const plot = h("div");
  const caption = h("figcaption");
  const none = h("p", { class: "note", hidden: true, t: "space.no_prediction" });
  const body = h("tbody");
  const list = h("details", {}, h("summary", { t: "space.as_table" }), h("div", { class: "table", tabindex: 0, role: "region", "t-label": "space.as_table" }, h("table", {}, h("thead", {}, h("tr", {}, ["col.features", "col.r", "col.interval", "col.p", "col.n_features"].map((key, at) => h("th", { scope: "col", class: at ? "num" : "", t: key })))), body)));
  box.append(h("div", { class: "row" }, norms.node, target.node, words), none, h("figure", {}, plot, caption), list);
  const bars = makeBars(plot);

  const draw = () => {
    const mine = scene.run.results.prediction.filter((one) => one.language === scene.language && one.trained_on === null);
    none.hidden = mine.length > 0;
    plot.parentElement.hidden = list.hidden = !mine.length;
    words.replaceChildren(switches("radio", t("space.words"), [["held", t("space.held_out")], ["all", t("space.all_words")]], [held ? "held" : "all"], (value) => { held = value === "held"; draw(); }));
    const wanted = norms.fill(unique(mine.map((one) => one.norms)).map((name) => [name, name.replaceAll("_", " ")]), scene.setting.norms);
    const rated = target.fill(unique(mine.filter((one) => one.norms === wanted).map((one) => one.target)).map((name) => [name, targetName(name)]), scene.setting.target);
    if (!mine.length) return;
    const chosen = mine
      .filter((one) => one.norms === wanted && one.target === rated && one.excluded_concepts === held && one.r !== null)
      .sort((a, b) => Object.keys(SETS).indexOf(a.features) - Object.keys(SETS).indexOf(b.features));
    const ceiling = chosen.find((one) => one.ceiling !== null)?.ceiling ?? null;
    const matched = chosen.find((one) => one.features === "outside" && one.draws_low !== null);
    bars.show({
      rows: chosen.map((one) => ({ name: setName(one), marks: [mark(one)] })),
      ceiling: ceiling === null ? null : { value: ceiling, name: t("ceiling.name", { value: figure(ceiling) }) },
      band: matched ? { low: matched.draws_low, high: matched.draws_high, about: t("bars.band") } : null,
      title: t("bars.r"),
      alt: t("bars.alt", { target: targetName(rated), language: languageName(scene.language), list: chosen.map((one) => `${setName(one)} ${figure(one.r)}`).join("; ") }),
    });
    body.replaceChildren(...chosen.map((one) => h("tr", {}, h("th", { scope: "row" }, setName(one)), ...[figure(one.r), interval(low(one), high(one), t("to")), pClause(one.p_fdr), count(one.n_features)].map((text) => h("td", { class: "num" }, text)))));
    caption.textContent = t("bars.caption", { n: count(chosen[0]?.n) });
  };
  return {
    show: (given) => {
      scene = given;
      draw();
    },
  };
};

const low = (one) => one.draws_low ?? one.ci_low;
const high = (one) => one.draws_high ?? one.ci_high;
const mark = (one) => ({
  value: one.r, low: low(one), high: high(one), hue: `var(--c-${SETS[one.features] ?? "other"})`,
  about: [`${setName(one)}: r = ${figure(one.r)}`, interval(low(one), high(one), t("to")), t("bars.n", { words: count(one.n), features: count(one.n_features) }), pClause(one.p_fdr)].filter(Boolean).join("\n"),
});
