// Compare: the figures of several runs side by side, the first chosen the one the others are held against.

import { write } from "../address.js";
import { compare, compareFigures, runs as askRuns } from "../api.js";
import { h } from "../dom.js";
import { makeFigures, missing } from "../report.js";
import { leftOut, makeOne } from "../runs.js";
import { makeSelect, switches } from "../select.js";
import { showTrouble } from "../trouble.js";
import { currentLanguage, languageName, onLanguage, t } from "../words.js";
import { drawKinds, drawPairs, drawRuns } from "./figures.js";

/** Make the view in `node`. Returns `{restore(setting)}`. */
export const make = (node) => {
  let listed = null;
  let chosen = [];
  let language = null;
  let shown = null;
  let given = null;

  const trouble = h("div", { role: "alert" });
  const notes = h("div", { class: "notes" });
  const choice = h("div", { class: "choose" });
  const status = h("p", { class: "note", role: "status" });
  const select = makeSelect("space.language", (value) => { language = value; show(); });
  const body = h("div");
  node.append(
    h("header", {}, h("p", { class: "eyebrow", t: "compare.eyebrow" }), h("h1", { t: "compare.title" }), h("p", { class: "sub", t: "compare.sub" })),
    choice, notes, trouble, h("div", { class: "row of" }, select.node), body, status,
  );
  select.node.hidden = true;

  // Places outlive what they show: what is drawn in them is changed, not made anew.
  const places = new Map();
  const place = (key) => {
    if (!places.has(key)) {
      const box = h("div", { class: key ? "" : "pair" });
      places.set(key, { box, figures: makeFigures(box) });
    }
    return places.get(key);
  };

  const pick = () => {
    const toggle = (id, on) => {
      chosen = on ? [...chosen, id] : chosen.filter((other) => other !== id);
      ask();
    };
    choice.replaceChildren(switches("checkbox", t("compare.runs"), listed.map(({ id }) => [id, id]), chosen, toggle));
  };

  const show = () => {
    if (!shown) return body.replaceChildren();
    const { comparison, computed } = shown;
    const usual = [language, currentLanguage(), "en"].find((code) => comparison.languages.includes(code));
    language = select.fill(comparison.languages.map((code) => [code, languageName(code)]), usual);
    const of = (stem) => shown.figures.filter(({ key }) => key.startsWith("beside-") === Boolean(stem) && key.startsWith(stem));
    const drawn = (stem) => {
      const { box, figures } = place(stem);
      figures.show(of(stem), { variant: language, headed: !stem, captioned: !stem });
      return box;
    };
    const pairs = () => h("section", { class: "part" }, h("h2", {}, t("compare.pairs")), drawn(""), drawPairs(comparison, language), missing(shown.missing));
    body.replaceChildren(drawRuns(comparison), ...drawKinds(comparison, language, drawn), ...(computed ? [pairs()] : []));
    write("compare", { runs: chosen.join(","), of: language });
    return null;
  };

  // What the runs hold is there at once; what is computed of them takes a while the first time.
  let latest = 0;
  const ask = async () => {
    const mine = (latest += 1);
    write("compare", { runs: chosen.join(","), of: language });
    trouble.replaceChildren();
    shown = null;
    if (chosen.length < 2) {
      select.node.hidden = true;
      status.textContent = t("compare.two");
      return show();
    }
    try {
      for (const computed of [false, true]) {
        status.textContent = t(computed ? "compare.busy" : "compare.reading");
        const [{ comparison }, { data, missing: reasons }] = [await compare(chosen, computed), await compareFigures(chosen, computed)];
        if (mine !== latest) return null;
        shown = { comparison, computed, figures: data, missing: reasons };
        show();
      }
      status.textContent = "";
    } catch (error) {
      if (mine !== latest) return null;
      status.textContent = "";
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
      chosen = chosen.filter((id) => listed.some((run) => run.id === id));
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
    if (chosen.length < 2) status.textContent = t("compare.two");
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
