// A comparison in tables: the runs, figures by kind, how alike the runs are pair by pair.

import { h } from "../dom.js";
import { count, figure, interval, pClause, signed } from "../numbers.js";
import { sourceName, structureName, targetName } from "../space/names.js";
import { emotionName, known, languageName, t } from "../words.js";

const KINDS = ["prediction", "rsa", "best_pc_r", "language_rsa", "procrustes", "steering"];
const LONG = 40;

/** Draw what was compared as a table. */
export const drawRuns = ({ runs }) =>
  grid(
    t("compare.runs"),
    ["col.run", "col.model", "col.parameters", "col.layer", "col.space", "col.languages", "col.categories"],
    runs.map((run) => [
      run.name, run.model, run.n_parameters === null ? "" : `${Math.round(run.n_parameters / 1e6)} M`, run.layer === null ? "" : `${run.layer} / ${run.n_blocks}`,
      known(`space.${run.space}`) ? t(`space.${run.space}`) : run.space, run.languages.map(languageName).join(", "), count(run.n_categories),
    ]),
    [2, 3, 6],
  );

// Two languages are as alike as they are in either order, and runs list them in orders of their own.
const PAIRED = ["language_rsa", "procrustes"];
const about = (record, language) => record.language === language || (PAIRED.includes(record.kind) && record.against === language);
const facing = (record, language) => (PAIRED.includes(record.kind) && record.against === language ? { ...record, language, against: record.language } : record);

const keyOf = (record) => [record.of, record.against, record.target, record.source].join("|");

const nameOf = (record) => {
  const set = known(`set.${record.of}`) ? t(`set.${record.of}`) : record.of;
  const plain = (text) => String(text).replaceAll("_", " ");
  if (record.kind === "prediction") return `${targetName(record.target)}, ${set}${record.source ? ` (${sourceName(record.source)})` : ""}`;
  if (record.kind === "steering") return `${emotionName(record.target)}, ${plain(record.of)}`;
  if (PAIRED.includes(record.kind)) return `${languageName(record.language)}, ${languageName(record.against)}`;
  return [record.kind === "rsa" ? structureName(record.against) : targetName(record.target), set].join(", ");
};

/** Draw the kinds of figures of a language, each with its table; `drawn` gives the node in which the figure of a key is drawn. */
export const drawKinds = (comparison, language, drawn) =>
  KINDS.flatMap((kind) => {
    const given = comparison.figures.filter((record) => record.kind === kind && about(record, language) && record.value !== null).map((record) => facing(record, language));
    if (!given.length) return [];
    const rows = [...Map.groupBy(given, keyOf).values()];
    const cells = rows.flatMap((marks) => marks.map((record) => [nameOf(record), record.against && kind === "prediction" ? record.against.replaceAll("_", " ") : "", record.run, figure(record.value), interval(record.ci_low, record.ci_high, t("to")), signed(record.difference), count(record.n)]));
    const table = grid(t(`kind.${kind}`), ["col.figure", "col.norms", "col.run", "col.value", "col.interval", "col.difference", "col.n"], cells, [3, 4, 5, 6]);
    return h("section", { class: "part" }, h("h2", {}, t(`kind.${kind}`)), drawn(`beside-${kind}`), h("p", { class: "note" }, t(`kind.${kind}.about`)), h("details", {}, h("summary", {}, t("compare.table", { n: rows.length })), table));
  });

/** Draw how alike the runs' spaces are, and their differences in r on the same words. */
export const drawPairs = (comparison, language) => {
  const pairs = comparison.rsa.filter((record) => record.language === language);
  const differences = comparison.differences.filter((record) => record.language === language);
  return [
    pairs.length ? grid(t("compare.pairs_about"), ["col.pair", "col.value", "col.interval", "col.p", "col.baseline", "col.n"],
      pairs.map((record) => [`${record.a} · ${record.b}`, figure(record.value), interval(record.ci_low, record.ci_high, t("to")), pClause(record.p_fdr ?? record.p), figure(record.baseline), count(record.n)]), [1, 2, 3, 4, 5]) : h("p", { class: "note" }, t("compare.no_pairs")),
    differences.length ? grid(t("compare.differences"), ["col.run", "col.norms", "col.rating", "col.features", "col.difference", "col.interval", "col.p", "col.n"],
      differences.map((record) => [record.run, record.norms.replaceAll("_", " "), targetName(record.target), t(`set.${record.features}`), signed(record.difference), interval(record.ci_low, record.ci_high, t("to")), pClause(record.p_fdr ?? record.p), count(record.n)]), [4, 5, 6, 7]) : null,
  ].filter(Boolean);
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
