// The features of a language by category, searched where the tables are.

import { table } from "../api.js";
import { makeSelect } from "../select.js";
import { h, paused } from "../dom.js";
import { count, figure } from "../numbers.js";
import { emotionName, t } from "../words.js";

const PAGE = 40;

/** Make the part in `box`. Returns `{show(scene)}`. */
export const makeDictionary = (box, { remember }) => {
  let scene = null;
  let shown = PAGE;
  let category = "";
  const search = h("input", { type: "search", "t-placeholder": "dictionary.hint", oninput: () => later() });
  const select = makeSelect("dictionary.category", (value) => { category = value; shown = PAGE; draw(); });
  const said = h("output", { "aria-live": "polite", class: "note" });
  const heads = ["col.category", "col.latent", "col.effect", "col.rate_in", "col.rate_pool", "col.words"];
  const body = h("tbody");
  const grid = h("div", { class: "table tall", tabindex: 0, role: "region", "t-label": "space.dictionary" },
    h("table", {}, h("thead", {}, h("tr", {}, heads.map((key, at) => h("th", { scope: "col", class: at > 0 && at < 5 ? "num" : "", t: key })))), body));
  const more = h("button", { type: "button", class: "button", t: "dictionary.more", onclick: () => { shown += PAGE; draw(); } });
  box.append(h("div", { class: "row find", role: "search", "t-label": "dictionary.search" }, h("label", { class: "inline" }, h("span", { t: "dictionary.search" }), search), select.node, said), grid, h("p", {}, more), h("p", { class: "note", t: "dictionary.caption" }));

  let latest = 0;
  const draw = async () => {
    const mine = (latest += 1);
    const wanted = search.value.trim();
    const has = scene.run.tables.includes("features");
    grid.hidden = !has;
    more.hidden = true;
    if (!has) return (said.textContent = t("dictionary.none"));
    try {
      const query = { language: scene.language, sort: "-effect", limit: shown, ...(wanted && { search: wanted }), ...(category && { category }) };
      const { rows, total } = await table(scene.run.id, "features", query);
      if (mine !== latest) return null;
      said.textContent = t("dictionary.found", { n: count(total) });
      more.hidden = total <= rows.length;
      const percent = (share) => (share === null ? "" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)}%`);
      body.replaceChildren(...rows.map((row) => h("tr", {},
        h("th", { scope: "row" }, emotionName(row.category)),
        h("td", { class: "num" }, String(row.latent)), h("td", { class: "num" }, figure(row.effect)), h("td", { class: "num" }, percent(row.rate_in)), h("td", { class: "num" }, percent(row.rate_pool)),
        h("td", { lang: scene.language }, row.top_words ?? ""))));
    } catch (error) {
      said.textContent = t("space.absent", { why: error.message });
    }
    return null;
  };
  const later = paused(() => {
    shown = PAGE;
    remember({ q: search.value.trim() });
    draw();
  }, 250);
  return {
    show: (given) => {
      scene = given;
      if (scene.setting.q && !search.value) search.value = scene.setting.q;
      const names = scene.run.results.features.filter((record) => record.language === scene.language && record.n_features > 0).map((record) => record.category);
      category = select.fill([["", t("dictionary.all")], ...names.map((name) => [name, emotionName(name)])], category);
      draw();
    },
  };
};
