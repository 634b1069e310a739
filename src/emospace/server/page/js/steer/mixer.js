// Sliders by emotion: the basic six at once, all others folded away, with a search for the hurried.

import { h } from "../dom.js";
import { BASIC } from "../hues.js";
import { emotionName, onLanguage, t } from "../words.js";
import { makeSlider } from "./sliders.js";
import { mixTone } from "./tone.js";

/** Make the mixer in `box`. Returns `{update(tone), fill(categories)}`. */
export const makeMixer = (box, change) => {
  const sliders = new Map();
  let mix = {};
  const basic = h("div", { class: "sliders" });
  const others = h("div", { class: "sliders" });
  const search = h("input", { type: "search", "t-label": "mix.search", "t-placeholder": "mix.search" });
  const none = h("p", { class: "note", hidden: true, t: "mix.none" });
  const summary = h("summary");
  const more = h("details", { class: "more" }, summary, h("div", { class: "row" }, search), none, others);
  box.append(h("fieldset", { class: "bare" }, h("legend", { class: "label", t: "mix.name" }), basic, more));

  const find = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const [name, { node }] of sliders) {
      if (node.parentElement !== others) continue;
      node.hidden = Boolean(wanted) && !`${name} ${emotionName(name)}`.toLowerCase().includes(wanted);
      shown += node.hidden ? 0 : 1;
    }
    none.hidden = shown > 0;
  };
  search.addEventListener("input", find);

  const name = () => {
    for (const { rename } of sliders.values()) rename();
    summary.textContent = t("mix.more", { n: others.children.length });
    find();
  };
  onLanguage(name);

  return {
    update: (tone) => {
      mix = tone.mix;
      for (const [name, slider] of sliders) {
        slider.set(mix[name] ?? 0);
        slider.node.classList.toggle("set", name in mix);
      }
      if (Object.keys(mix).some((name) => !BASIC.includes(name))) more.open = true;
    },
    fill: (categories) => {
      sliders.clear();
      basic.replaceChildren();
      others.replaceChildren();
      for (const { name } of categories) {
        const slider = makeSlider({
          said: () => emotionName(name),
          change: (weight) => change(mixTone({ ...mix, [name]: weight })),
        });
        sliders.set(name, slider);
        (BASIC.includes(name) ? basic : others).append(slider.node);
      }
      more.hidden = !others.children.length;
      name();
    },
  };
};
