// The parts of a run that the report draws: what is chosen, the figures of that choice, and their table.

import { figures } from "../api.js";
import { h, paused } from "../dom.js";
import { count, figure, interval, pClause } from "../numbers.js";
import { makeFigures, missing } from "../report.js";
import { makeSelect, switches } from "../select.js";
import { makeSlider } from "../steer/sliders.js";
import { showTrouble } from "../trouble.js";
import { emotionName, languageName, t } from "../words.js";
import { SETS, setName, structureName, targetName } from "./names.js";

const MOST = 5;
const unique = (values) => [...new Set(values)];

/** Make a place for figures. Returns `{nodes, draw(ask, options)}`: `ask` gives `{data, missing}`, the last one asked is shown. */
const makePlace = () => {
  const box = h("div");
  const notes = h("div", { role: "status" });
  const shown = makeFigures(box);
  let latest = 0;
  const draw = paused(async (ask, options) => {
    const mine = (latest += 1);
    box.setAttribute("aria-busy", "true");
    try {
      const given = await ask();
      if (mine !== latest) return;
      notes.replaceChildren(...missing(given.missing));
      await shown.show(given.data, options);
    } catch (error) {
      if (mine === latest) showTrouble(notes, error);
    } finally {
      if (mine === latest) box.setAttribute("aria-busy", "false");
    }
  }, 60);
  return { box, nodes: [box, notes], draw };
};

/** Make the plane of languages and people, with r over layers. `layer(n or null)` is called with what is looked at. */
export const makeGeometry = (node, { remember, layer: tell }) => {
  let scene = null;
  let chosen = [];
  let layer = null;
  let categories = "basic";
  let people = true;

  const languages = h("div");
  const picker = makeSelect("space.show", (value) => { categories = value; draw(); });
  const depth = h("div");
  const slider = makeSlider({ key: "space.layer", min: 0, max: 1, step: 1, write: String, change: (value) => look(value) });
  const [plane, curve] = [makePlace(), makePlace()];
  const caption = h("p", { class: "note" });
  node.append(h("div", { class: "split" }, h("div", {}, plane.nodes, caption), h("div", { class: "stack" }, languages, picker.node, depth, slider.node, curve.nodes)));

  const draw = () => {
    const { run, language } = scene;
    caption.textContent = t(layer === null ? "plane.caption" : "plane.caption_layer", { layer });
    plane.draw(() => figures(run.id, "plane", { language: chosen, layer, categories, people }), { headed: false });
    curve.draw(() => figures(run.id, "layers", { language, layer }), { headed: false });
  };
  const look = (value) => {
    layer = value;
    remember({ layer });
    tell(layer);
    draw();
  };

  const controls = () => {
    const { run } = scene;
    const options = [...run.languages.map((code) => [code, languageName(code)]), ["people", t("space.people")]];
    const toggle = (value, on) => {
      if (value === "people") people = on;
      else chosen = on ? [...chosen, value].slice(-MOST) : chosen.filter((code) => code !== value);
      remember({ languages: chosen.join(",") });
      if (chosen.length === MOST || !on) controls();
      draw();
    };
    const focused = document.activeElement?.value;
    languages.replaceChildren(switches("checkbox", t("space.languages"), options, [...chosen, ...(people ? ["people"] : [])], toggle));
    languages.querySelector(`input[value="${focused}"]`)?.focus();
    const names = unique(run.results.features.map(({ category }) => category));
    categories = picker.fill([["basic", t("space.basic")], ["all", t("space.all")], ...names.map((name) => [name, emotionName(name)])], categories);
    const layered = run.tables.includes("rdm_layers") && run.n_blocks;
    const change = (value) => { look(value === "own" ? null : run.layer); controls(); };
    depth.replaceChildren(layered ? switches("radio", t("space.depth"), [["own", t("space.own")], ["layer", t("space.each")]], [layer === null ? "own" : "layer"], change) : h("p", { class: "note" }, t("space.no_layers")));
    slider.input.max = String(run.n_blocks ?? 1);
    slider.node.hidden = !layered || layer === null;
    slider.rename();
    if (layer !== null) slider.set(layer);
  };

  return {
    show: (given) => {
      scene = given;
      const { run, setting } = scene;
      const asked = (setting.languages ?? "").split(",").filter((code) => run.languages.includes(code));
      const usual = ["en", "zh"].filter((code) => run.languages.includes(code));
      chosen = (asked.length ? asked : usual.length ? usual : run.languages.slice(0, 2)).slice(0, MOST);
      layer = layerOf(scene);
      controls();
      draw();
    },
  };
};

const layerOf = ({ run, setting }) => (setting.layer === null || setting.layer === "" || !run.tables.includes("rdm_layers") ? null : Math.min(Number(setting.layer), run.n_blocks));

/** Make the model's dissimilarities beside people's. Returns `{show(scene), layer(n or null)}`. */
export const makeMatrices = (node) => {
  let scene = null;
  let layer = null;
  let structure = null;
  const select = makeSelect("space.structure", (value) => { structure = value; draw(); });
  const place = makePlace();
  place.box.classList.add("pair");
  node.append(h("div", { class: "row" }, select.node), ...place.nodes, h("p", { class: "note", t: "heat.caption" }));

  const draw = () => {
    const { run, language } = scene;
    const wanted = [`rdm-${language}-model`, `rdm-${language}-${structure}`];
    place.draw(async () => {
      const given = await figures(run.id, "rdms", { language, layer });
      return { ...given, data: given.data.filter(({ key }) => wanted.includes(key)) };
    });
  };

  return {
    show: (given) => {
      scene = given;
      const { run, language } = scene;
      layer = layerOf(scene);
      const stem = `rdm_human_${language}_`;
      const structures = run.tables.filter((name) => name.startsWith(stem)).map((name) => name.slice(stem.length)).sort((a, b) => (b === "valence_arousal") - (a === "valence_arousal"));
      structure = select.fill(structures.map((name) => [name, structureName(name)]), structure) || null;
      node.querySelector("h2").textContent = t("space.matrix_of", { language: languageName(language) });
      draw();
    },
    layer: (value) => {
      layer = value;
      draw();
    },
  };
};

/** Make the prediction of ratings by each set of features, as a figure and as a table. Returns `{show(scene)}`. */
export const makePrediction = (node, { remember }) => {
  let scene = null;
  let held = true;
  const choose = (field) => (value) => { remember({ [field]: value }); scene.setting[field] = value; draw(); };
  const norms = makeSelect("space.norms", choose("norms"));
  const target = makeSelect("space.target", choose("target"));
  const words = h("div");
  const place = makePlace();
  const none = h("p", { class: "note", hidden: true, t: "space.no_prediction" });
  const caption = h("p", { class: "note", t: "bars.caption" });
  const body = h("tbody");
  const heads = ["col.features", "col.r", "col.interval", "col.p", "col.n_features"].map((key, at) => h("th", { scope: "col", class: at ? "num" : "", t: key }));
  const list = h("details", {}, h("summary", { t: "space.as_table" }), h("div", { class: "table", tabindex: 0, role: "region", "t-label": "space.as_table" }, h("table", {}, h("thead", {}, h("tr", {}, heads)), body)));
  node.append(h("div", { class: "row" }, norms.node, target.node, words), none, h("div", { class: "wide" }, place.nodes), caption, list);

  const draw = () => {
    const { run, language, setting } = scene;
    const mine = run.results.prediction.filter((record) => record.language === language && record.trained_on === null);
    none.hidden = mine.length > 0;
    place.box.hidden = caption.hidden = list.hidden = words.hidden = !mine.length;
    words.replaceChildren(switches("radio", t("space.words"), [["held", t("space.held_out")], ["all", t("space.all_words")]], [held ? "held" : "all"], (value) => { held = value === "held"; draw(); }));
    const wanted = norms.fill(unique(mine.map((record) => record.norms)).map((name) => [name, name.replaceAll("_", " ")]), setting.norms);
    const rated = target.fill(unique(mine.filter((record) => record.norms === wanted).map((record) => record.target)).map((name) => [name, targetName(name)]), setting.target);
    if (!mine.length) return;
    const chosen = mine
      .filter((record) => record.norms === wanted && record.target === rated && record.excluded_concepts === held && record.r !== null)
      .sort((a, b) => SETS.indexOf(a.features) - SETS.indexOf(b.features));
    place.draw(async () => {
      const given = await figures(run.id, "prediction", { language });
      return { ...given, data: given.data.filter(({ key }) => key === `bars-${language}-${wanted}-${rated}`) };
    }, { variant: held ? "out" : "in" });
    body.replaceChildren(...chosen.map((record) => h("tr", {}, h("th", { scope: "row" }, setName(record)), ...[figure(record.r), interval(record.draws_low ?? record.ci_low, record.draws_high ?? record.ci_high, t("to")), pClause(record.p_fdr), count(record.n_features)].map((text) => h("td", { class: "num" }, text)))));
  };
  return {
    show: (given) => {
      scene = given;
      draw();
    },
  };
};

/** Make a choice of what else the report draws of a run. Returns `{show(scene)}`. */
export const makeFurther = (node) => {
  let scene = null;
  let part = "";
  const select = makeSelect("further.part", (value) => { part = value; draw(); });
  const place = makePlace();
  place.box.classList.add("pair");
  node.append(h("div", { class: "row" }, select.node), ...place.nodes);
  const draw = () => {
    if (part) place.draw(() => figures(scene.run.id, part, { language: scene.language }));
    else place.draw(async () => ({ data: [], missing: [] }));
  };
  return {
    show: (given) => {
      scene = given;
      const { run } = scene;
      const has = { words: run.tables.includes("predictions"), draws: run.tables.includes("draws"), circumplex: run.tables.includes("circumplex"), languages: run.languages.length > 1, steering: run.results.steering.length > 0 };
      const parts = Object.keys(has).filter((name) => has[name]);
      node.hidden = !parts.length;
      part = select.fill([["", t("further.nothing")], ...parts.map((name) => [name, t(`further.${name}`)])], part);
      draw();
    },
  };
};
