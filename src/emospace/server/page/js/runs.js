// What is said where a folder's runs cannot all be shown: none there, of steering alone, of another version.

import { h } from "./dom.js";
import { t } from "./words.js";

/** Return notes on the runs that are not shown; `listed` is what `api.runs` gave. */
export const leftOut = ({ unreadable, others }) =>
  [
    others.length > 0 && h("p", { class: "note" }, t("runs.others", { names: others.map(({ id }) => id).join(", ") })),
    unreadable.length > 0 &&
      h(
        "details",
        { class: "left-out" },
        h("summary", {}, t("runs.unreadable", { names: unreadable.map(({ id }) => id).join(", ") })),
        h("p", { class: "note" }, t("runs.mend")),
        h("ul", { class: "note" }, unreadable.map(({ id, why }) => h("li", {}, h("strong", {}, id), ": ", h("span", { lang: "en" }, why)))),
      ),
  ].filter(Boolean);

/** Return what to do where there are too few runs; `key` names the sentence, `folder` the one to be made. */
export const makeOne = (key, folder) =>
  h("div", { class: "reason" }, h("p", {}, t(key)), h("p", {}, h("code", {}, `emospace study --out runs/${folder} && emospace serve --runs runs`)));
