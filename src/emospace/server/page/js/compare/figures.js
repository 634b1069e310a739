// A comparison as it is shown: the runs, figures by kind, how alike the runs are pair by pair.

import { makeBars } from "../charts/bars.js";
import { h } from "../dom.js";
import { count, figure, interval, pClause, signed } from "../numbers.js";
import { sourceName, structureName, targetName } from "../space/names.js";
import { emotionName, known, languageName, t } from "../words.js";

const KINDS = ["prediction", "rsa", "best_pc_r", "language_rsa", "procrustes", "steering"];
const ROWS = 14;
const LONG = 40;

/** Draw what was compared as a table. */
export const drawRuns = ({ runs }) =>
  grid(
    t("compare.runs"),
    ["col.run", "col.model", "col.parameters", "col.layer", "col.space", "col.languages", "col.categories"],
    runs.map((one) => [
      one.name, one.model, one.n_parameters === null ? "" : `${Math.round(one.n_parameters / 1e6)} M`, one.layer === null ? "" : `${one.layer} / ${one.n_blocks}`,
      known(`space.${one.space}`) ? t(`space.${one.space}`) : one.space, one.languages.map(languageName).join(", "), count(one.n_categories),
    ]),
    [2, 3, 6],
  );

// Two languages are as alike as they are in either order, and runs list them in orders of their own.
const PAIRED = ["language_rsa", "procrustes"];
const about = (one, language) => one.language === language || (PAIRED.includes(one.kind) && one.against === language);
const facing = (one, language) => (PAIRED.includes(one.kind) && one.against === language ? { ...one, language, against: one.language } : one);

const keyOf = (one) => [one.of, one.against, one.target, one.source].join("|");

const nameOf = (one) => {
  const set = known(`set.${one.of}`) ? t(`set.${one.of}`) : one.of;
  const plain = (text) => String(text).replaceAll("_", " ");
  if (one.kind === "prediction") return `${targetName(one.target)}, ${set}${one.source ? ` (${sourceName(one.source)})` : ""}`;
  if (one.kind === "steering") return `${emotionName(one.target)}, ${plain(one.of)}`;
  if (one.kind === "language_rsa" || one.kind === "procrustes") return `${languageName(one.language)}, ${languageName(one.against)}`;
  return [one.kind === "rsa" ? structureName(one.against) : targetName(one.target), set].join(", ");
};

// Rows of one name are told apart by their norms or structure.
const distinct = (rows) => {
  const names = rows.map(nameOf);
  const twice = (name) => names.indexOf(name) !== names.lastIndexOf(name);
  return rows.map((one, at) => (twice(names[at]) ? [names[at], ...[one.against, one.kind === "prediction" ? null : one.source].filter(Boolean).map(sourceName)].join(", ") : names[at]));
};

/** Draw the figures of a language by kind, each as dots beside one another and as a table. */
export const drawKinds = (comparison, language, hues) =>
  KINDS.flatMap((kind) => {
    const given = comparison.figures.filter((one) => one.kind === kind && about(one, language) && one.value !== null).map((one) => facing(one, language));
    if (!given.length) return [];
    const rows = [...Map.groupBy(given, keyOf).values()];
    const plot = h("div");
    const bars = makeBars(plot);
    // The main rows are drawn; the table has them all.
    const main = rows.filter(([one]) => kind !== "prediction" || ["space", "dense"].includes(one.of)).slice(0, ROWS);
    const names = distinct(main.map(([one]) => one));
    bars.show({
      rows: main.map((marks, at) => ({ name: names[at], marks: comparison.runs.map(({ name }) => marks.find((one) => one.run === name)).filter(Boolean).map((one) => mark(one, hues)) })),
      ceiling: null, band: null, title: t(`kind.${kind}.axis`),
      alt: `${t(`kind.${kind}`)}: ${main.map((marks, at) => `${names[at]}: ${marks.map((one) => `${one.run} ${figure(one.value)}`).join(", ")}`).join("; ")}`,
    });
    const cells = rows.flatMap((marks) => marks.map((one) => [nameOf(one), one.against && kind === "prediction" ? one.against.replaceAll("_", " ") : "", one.run, figure(one.value), interval(one.ci_low, one.ci_high, t("to")), signed(one.difference), count(one.n)]));
    return [
      h("section", { class: "part" }, h("h2", {}, t(`kind.${kind}`)), h("figure", {}, plot, h("figcaption", {}, t(`kind.${kind}.about`))),
        h("details", {}, h("summary", {}, t("compare.table", { n: rows.length })), grid(t(`kind.${kind}`), ["col.figure", "col.norms", "col.run", "col.value", "col.interval", "col.difference", "col.n"], cells, [3, 4, 5, 6]))),
    ];
  });

const mark = (one, hues) => ({
  value: one.value, low: one.ci_low, high: one.ci_high, hue: hues.get(one.run),
  about: [`${one.run}: ${figure(one.value)}`, interval(one.ci_low, one.ci_high, t("to")), pClause(one.p), `n = ${count(one.n)}`].filter(Boolean).join("\n"),
});

/** Draw how alike the runs' spaces are, and their differences in r on the same words. */
export const drawPairs = (comparison, language) => {
  const pairs = comparison.rsa.filter((one) => one.language === language);
  const differences = comparison.differences.filter((one) => one.language === language);
  return h(
    "section",
    { class: "part" },
    h("h2", {}, t("compare.pairs")),
    pairs.length ? grid(t("compare.pairs_about"), ["col.pair", "col.value", "col.interval", "col.p", "col.baseline", "col.n"],
      pairs.map((one) => [`${one.a} · ${one.b}`, figure(one.value), interval(one.ci_low, one.ci_high, t("to")), pClause(one.p_fdr ?? one.p), figure(one.baseline), count(one.n)]), [1, 2, 3, 4, 5]) : h("p", { class: "note" }, t("compare.no_pairs")),
    differences.length ? grid(t("compare.differences"), ["col.run", "col.norms", "col.rating", "col.features", "col.difference", "col.interval", "col.p", "col.n"],
      differences.map((one) => [one.run, one.norms.replaceAll("_", " "), targetName(one.target), t(`set.${one.features}`), signed(one.difference), interval(one.ci_low, one.ci_high, t("to")), pClause(one.p_fdr ?? one.p), count(one.n)]), [4, 5, 6, 7]) : null,
  );
};

const grid = (caption, heads, rows, numeric) =>
  h(
    "div",
    { class: "table", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((key, at) => h("th", { scope: "col", class: numeric.includes(at) ? "num" : "" }, t(key))))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((text, at) => (at ? h("td", { class: numeric.includes(at) ? "num" : text.length > LONG ? "long" : "" }, text) : h("th", { scope: "row" }, text))))))),
  );
