// Compare: the figures of several runs side by side, the first chosen the one the others are held against.

import { write } from "../address.js";
import { compare, runs as askRuns } from "../api.js";
import { keys } from "../charts/keys.js";
import { makeSelect, switches } from "../charts/select.js";
import { h } from "../dom.js";
import { seriesHue } from "../hues.js";
import { leftOut, makeOne } from "../runs.js";
import { showTrouble } from "../trouble.js";
import { currentLanguage, languageName, onLanguage, t } from "../words.js";
import { drawKinds, drawPairs, drawRuns } from "./figures.js";

/** Make the view in `node`. Returns `{restore(setting)}`. */
export const make = (node) => {
  let listed = null;
  let chosen = [];
  let language = null;
  let found = null;
  let given = null;

  const trouble = h("div", { role: "alert" });
  const notes = h("div", { class: "notes" });
  const choice = h("div", { class: "choose" });
  const status = h("p", { class: "note", role: "status" });
  const select = makeSelect("space.language", (value) => { language = value; show(); });
  const body = h("div");
  node.append(
    h("header", {}, h("p", { class: "eyebrow", t: "compare.eyebrow" }), h("h1", { t: "compare.title" }), h("p", { class: "sub", t: "compare.sub" })),
    choice, notes, status, trouble, h("div", { class: "row of" }, select.node), body,
  );
  select.node.hidden = true;

  const pick = () => {
    const toggle = (id, on) => {
      chosen = on ? [...chosen, id] : chosen.filter((one) => one !== id);
      ask();
    };
    choice.replaceChildren(switches("checkbox", t("compare.runs"), listed.map((one) => [one.id, one.id]), chosen, toggle));
  };

  const show = () => {
    if (!found) return body.replaceChildren();
    const { comparison } = found;
    const usual = [language, currentLanguage(), "en"].find((code) => comparison.languages.includes(code));
    language = select.fill(comparison.languages.map((code) => [code, languageName(code)]), usual);
    const hues = new Map(comparison.runs.map(({ name }, at) => [name, seriesHue(at)]));
    const key = keys(comparison.runs.map(({ name }, at) => ({ name: at ? name : t("compare.baseline", { name }), hue: hues.get(name) })));
    body.replaceChildren(drawRuns(comparison), key, ...drawKinds(comparison, language, hues), drawPairs(comparison, language));
    remember();
    return null;
  };

  const remember = () => write("compare", { runs: chosen.join(","), of: language });

  let latest = 0;
  const ask = async () => {
    const mine = (latest += 1);
    remember();
    trouble.replaceChildren();
    if (chosen.length < 2) {
      found = null;
      select.node.hidden = true;
      status.textContent = t("compare.two");
      return show();
    }
    status.textContent = t("compare.busy");
    try {
      const answer = await compare(chosen);
      if (mine !== latest) return null;
      found = { ...answer, comparison: byFolder(answer) };
      status.textContent = "";
      show();
    } catch (error) {
      if (mine !== latest) return null;
      status.textContent = "";
      found = null;
      show();
      showTrouble(trouble, error, ask);
    }
    return null;
  };

  const say = () => {
    const few = listed.length < 2 && makeOne(listed.length ? "compare.one" : "runs.none", listed.length ? "another" : "mine");
    notes.replaceChildren(...[few, ...leftOut(given)].filter(Boolean));
  };

  const load = async () => {
    try {
      trouble.replaceChildren();
      given = await askRuns();
      listed = given.data;
      chosen = chosen.filter((id) => listed.some((one) => one.id === id));
      if (!chosen.length) chosen = listed.slice(0, 2).map(({ id }) => id);
      say();
      if (listed.length < 2) return;
      pick();
      ask();
    } catch (error) {
      showTrouble(trouble, error, load);
    }
  };
  onLanguage(() => {
    if (listed) say();
    if (!listed || listed.length < 2) return;
    pick();
    status.textContent = chosen.length < 2 ? t("compare.two") : "";
    show();
  });
  return {
    restore: (setting) => {
      if (setting.has("runs")) chosen = setting.get("runs").split(",").filter(Boolean);
      language = setting.get("of") ?? language;
      if (!listed) load();
      else if (listed.length > 1) {
        pick();
        ask();
      }
    },
  };
};

// A comparison calls runs by their models; here they are called as they were chosen.
const byFolder = ({ runs, comparison }) => {
  const ids = new Map(comparison.runs.map(({ name }, at) => [name, runs[at]]));
  const renamed = (records, ...fields) => records.map((one) => ({ ...one, ...Object.fromEntries(fields.map((field) => [field, ids.get(one[field]) ?? one[field]])) }));
  return {
    ...comparison,
    runs: renamed(comparison.runs, "name"),
    figures: renamed(comparison.figures, "run"),
    rsa: renamed(comparison.rsa, "a", "b"),
    differences: renamed(comparison.differences, "run", "against"),
  };
};
