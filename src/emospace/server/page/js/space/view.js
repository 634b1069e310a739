// Space: the emotion space of one run, from the plane to the single feature.

import { write } from "../address.js";
import { run as askRun, runs as askRuns } from "../api.js";
import { makeSelect } from "../select.js";
import { h } from "../dom.js";
import { leftOut, makeOne } from "../runs.js";
import { showTrouble } from "../trouble.js";
import { count } from "../numbers.js";
import { currentLanguage, languageName, onLanguage, t } from "../words.js";
import { makeAnswers } from "./answers.js";
import { makeDictionary } from "./dictionary.js";
import { makeFurther, makeGeometry, makeMatrices, makePrediction } from "./parts.js";

/** Make the view in `node`. Returns `{restore(setting)}`. */
export const make = (node) => {
  let setting = { run: null, languages: null, layer: null, of: null, norms: null, target: null, words: null, q: null };
  let listed = [];
  let listing = null;
  let run = null;

  const trouble = h("div", { role: "alert" });
  const notes = h("div", { class: "notes" });
  const facts = h("dl", { class: "facts" });
  const parts = h("div", { hidden: true });
  const select = makeSelect("space.run", (id) => open(id));
  const language = makeSelect("space.language", (of) => {
    remember({ of, norms: null, target: null });
    show();
  });
  node.append(
    h("header", {}, h("p", { class: "eyebrow", t: "space.eyebrow" }), h("h1", { t: "space.title" }), h("p", { class: "sub", t: "space.sub" })),
    trouble, h("div", { class: "row choose" }, select.node, language.node), notes, facts, parts,
  );
  language.node.hidden = true;

  const remember = (more) => {
    setting = { ...setting, ...more };
    write("space", setting);
  };
  const section = (key, make) => {
    const box = h("section", { class: "part" }, h("h2", { t: key }));
    parts.append(box);
    return make(box, remember);
  };
  const answers = section("space.answers", (box) => makeAnswers(box));
  const geometry = section("space.plane", (box, tell) => makeGeometry(box, { remember: tell, layer: (layer) => matrices.layer(layer) }));
  const matrices = section("space.matrix", (box) => makeMatrices(box));
  const prediction = section("space.prediction", (box, tell) => makePrediction(box, { remember: tell }));
  const further = section("space.further", (box) => makeFurther(box));
  const dictionary = section("space.dictionary", (box, tell) => makeDictionary(box, { remember: tell }));

  const drawFacts = () => {
    if (!run) return;
    const { results } = run;
    const items = [
      ["fact.model", run.title ?? run.model], ["fact.layer", run.layer === null ? null : `${run.layer} / ${run.n_blocks}`],
      ["fact.space", t(`space.${run.space}`)], ["fact.languages", run.languages.map(languageName).join(", ")],
      ["fact.categories", count(new Set(results.features.map(({ category }) => category)).size)], ["fact.seed", results.manifest.seed],
    ];
    facts.replaceChildren(...items.filter(([, value]) => value !== null && value !== undefined).map(([key, value]) => h("div", {}, h("dt", {}, t(key)), h("dd", {}, String(value)))));
  };

  const show = () => {
    const first = [setting.of, currentLanguage(), "en"].find((code) => run.languages.includes(code));
    setting.of = language.fill(run.languages.map((code) => [code, languageName(code)]), first);
    const scene = { run, language: setting.of, setting };
    for (const part of [answers, geometry, matrices, prediction, further, dictionary]) part.show(scene);
  };

  const open = async (id) => {
    try {
      trouble.replaceChildren();
      if (setting.run && id !== setting.run) remember({ languages: null, layer: null, of: null, norms: null, target: null, q: null });
      remember({ run: id });
      run = await askRun(id);
      parts.hidden = false;
      drawFacts();
      show();
    } catch (error) {
      showTrouble(trouble, error, () => open(id));
    }
  };

  const say = () => notes.replaceChildren(...(listing.data.length ? [] : [makeOne("runs.none", "mine")]), ...leftOut(listing));

  const load = async () => {
    try {
      trouble.replaceChildren();
      listing = await askRuns();
      const { data } = listing;
      listed = data;
      const id = select.fill(data.map((run) => [run.id, `${run.id} · ${run.title ?? run.model}`]), setting.run);
      say();
      if (data.length) await open(id);
    } catch (error) {
      showTrouble(trouble, error, load);
    }
  };

  onLanguage(() => {
    if (listing) say();
    if (!run) return;
    drawFacts();
    show();
  });
  return {
    restore: (given) => {
      const known = Object.fromEntries(Object.keys(setting).filter((name) => given.has(name)).map((name) => [name, given.get(name)]));
      setting = { ...setting, ...known };
      if (!listed.length) load();
      else if (Object.keys(known).length) open(setting.run);
      else write("space", setting);
    },
  };
};

