// The model's dissimilarities beside people's, and how far they agree.

import { table } from "../api.js";
import { makeHeat } from "../charts/heat.js";
import { makeSelect } from "../charts/select.js";
import { h, paused } from "../dom.js";
import { figure, interval, pClause } from "../numbers.js";
import { languageName, t } from "../words.js";
import { squareOf } from "./geometry.js";
import { sourceName, structureName } from "./names.js";

/** Make the part in `box`. Returns `{show(scene), layer(n or null)}`. */
export const makeMatrices = (box) => {
  let scene = null;
  let layer = null;
  let structure = null;
  const select = makeSelect("space.structure", (value) => { structure = value; draw(); });
  const half = () => {
    const heading = h("h3");
    const plot = h("div");
    return { node: h("figure", {}, heading, plot), heading, heat: makeHeat(plot) };
  };
  const [model, people] = [half(), half()];
  const verdict = h("p", { class: "verdict" });
  const missing = h("p", { class: "note" });
  box.append(h("div", { class: "row" }, select.node), h("div", { class: "pair" }, model.node, people.node), verdict, missing, h("p", { class: "note", t: "heat.caption" }));

  const own = async () => {
    if (layer !== null) {
      const { rows } = await table(scene.run.id, "rdm_layers", { language: scene.language, layer, limit: 50000 });
      return squareOf(rows);
    }
    return matrix((await table(scene.run.id, `rdm_${scene.language}`, { limit: 50000 })).rows);
  };

  const ordered = ({ names, square }, order) => {
    const kept = order.filter((name) => names.includes(name));
    const at = kept.map((name) => names.indexOf(name));
    return { names: kept, square: at.map((i) => at.map((j) => square[i][j] ?? NaN)) };
  };

  let latest = 0;
  const draw = paused(async () => {
    const mine = (latest += 1);
    const { run, language } = scene;
    missing.textContent = "";
    try {
      const { rows } = await table(run.id, "circumplex", { language, limit: 50000 });
      const order = rows.toSorted((a, b) => (a.human_valence ?? 0) - (b.human_valence ?? 0)).map(({ category }) => category);
      const mineSquare = ordered(await own(), order);
      const theirs = structure ? ordered(matrix((await table(run.id, `rdm_human_${language}_${structure}`, { limit: 50000 })).rows), mineSquare.names) : null;
      if (mine !== latest) return;
      const shared = theirs ? ordered(mineSquare, theirs.names) : mineSquare;
      model.heading.textContent = layer === null ? t("heat.model") : t("heat.layer", { layer });
      model.heat.show({ ...shared, alt: t("heat.alt", { what: model.heading.textContent, n: shared.names.length }) });
      people.node.hidden = !theirs;
      if (theirs) {
        people.heading.textContent = t("heat.people", { structure: structureName(structure) });
        people.heat.show({ ...theirs, alt: t("heat.alt", { what: people.heading.textContent, n: theirs.names.length }) });
      }
      verdict.textContent = agreement();
    } catch (error) {
      missing.textContent = t("space.absent", { why: error.message });
    }
  }, 60);

  const agreement = () => {
    if (layer !== null || !structure) return "";
    const name = structure.replace(/_([a-z]{2})$/, "/$1");
    const found = scene.run.results.alignment.find((one) => one.language === scene.language && one.statistic === "rsa_spearman" && [structure, name].includes(one.against) && one.space === scene.run.space);
    if (!found || found.value === null) return "";
    const parts = [interval(found.ci_low, found.ci_high, t("to")), pClause(found.p), found.baseline === null ? "" : t("heat.baseline", { name: sourceName(found.baseline_name ?? ""), value: figure(found.baseline) }), found.ceiling === null ? "" : t("ceiling.name", { value: figure(found.ceiling) })];
    return `${t("heat.rsa", { value: figure(found.value) })} · ${parts.filter(Boolean).join(" · ")}`;
  };

  return {
    show: (given) => {
      scene = given;
      const { run, language, setting } = scene;
      layer = setting.layer === null || setting.layer === "" || !run.tables.includes("rdm_layers") ? null : Number(setting.layer);
      const stem = `rdm_human_${language}_`;
      const structures = run.tables.filter((name) => name.startsWith(stem)).map((name) => name.slice(stem.length)).sort((a, b) => (b === "valence_arousal") - (a === "valence_arousal"));
      structure = select.fill(structures.map((name) => [name, structureName(name)]), structure) || null;
      box.querySelector("h2").textContent = t("space.matrix_of", { language: languageName(language) });
      draw();
    },
    layer: (value) => {
      layer = value;
      draw();
    },
  };
};

const matrix = (rows) => {
  const names = rows.map(({ category }) => category);
  return { names, square: rows.map((row) => names.map((name) => row[name] ?? NaN)) };
};
